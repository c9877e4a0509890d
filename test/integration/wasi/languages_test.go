package wasi

import (
	"net"
	"testing"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/servers"
	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// running is a server of any language in a container with a published port.
type running struct {
	servers.Server
	*testenv.Container
	address string
}

// languages has servers of all languages answer, hold a thousand connections, idle
// and stop. All of them run at the same time; what is measured is not done by several
// at a time.
func languages(t *testing.T, d *testenv.Docker, guests *testenv.Guests) {
	var all []running
	for _, s := range servers.All(t, guests) {
		s.Build(t, d)
		args := []string{"--publish", "127.0.0.1::" + servers.Port}
		for name, value := range s.Annotations {
			args = append(args, "--annotation", servers.Prefix+name+"="+value)
		}
		r := running{Server: s, Container: d.RunAnother(t, s.Name, append(args, s.Name)...)}
		if s.Serving != "" {
			r.WaitLog(t, s.Serving)
		}
		r.address = published(t, d, r.Container, servers.Port)
		all = append(all, r)
	}
	each := func(name string, check func(*testing.T, running)) {
		t.Run(name, func(t *testing.T) {
			for _, r := range all {
				t.Run(r.Server.Name, func(t *testing.T) { check(t, r) })
			}
		})
	}
	each("answers", func(t *testing.T, r running) {
		testenv.Eventually(t, "answer", func() error { return r.Ask(r.address) })
		for range 5 {
			if err := r.Ask(r.address); err != nil {
				t.Error(err)
			}
		}
	})
	each("clients that hang up", func(t *testing.T, r running) {
		if err := servers.HangUp(r.address, 300); err != nil {
			t.Error(err)
		}
		if err := r.Ask(r.address); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
	each("a thousand connections", func(t *testing.T, r running) {
		begin := time.Now()
		if err := r.Many(r.address, 1000); err != nil {
			t.Error(err)
		}
		t.Logf("after %v", time.Since(begin).Round(time.Millisecond))
		if err := r.Ask(r.address); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
	for _, r := range all {
		r.keepOpen(t)
	}
	t.Run("idle", func(t *testing.T) { idle(t, all) })
	each("stops", func(t *testing.T, r running) {
		stopsWithinASecond(t, d, r.Container)
		if status := r.Inspect(t, "{{.State.ExitCode}}"); status != "143" {
			t.Errorf("status %s", status)
		}
	})
}

// keepOpen leaves a connection open that has been used, until the test ends, if the
// server can do anything else then.
func (r running) keepOpen(t *testing.T) {
	t.Helper()
	if !r.Concurrent {
		return
	}
	kept, err := net.Dial("tcp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kept.Close() })
	if err := r.Request(kept); err != nil {
		t.Errorf("%s: %v", r.Server.Name, err)
	}
}

// idle servers use less than half a percent of a CPU, with their shims.
func idle(t *testing.T, all []running) {
	processes := make(map[string][]string)
	for _, r := range all {
		pid := r.Pid(t)
		shim, err := servers.Shim(pid)
		if err != nil {
			t.Fatal(err)
		}
		processes[r.Server.Name] = []string{pid, shim}
	}
	servers.Idle(t, processes)
}
