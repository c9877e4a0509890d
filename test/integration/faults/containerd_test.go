package faults

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

const multi = "/multi.wasm"

// moments are when, after the begin of a call, containerd is killed. A create
// takes some 50 ms, the start of a Go guest about a second.
var moments = []time.Duration{0, 3, 10, 25, 50, 120, 400}

// TestContainerdKilledInTheMiddleOfACall kills containerd at several moments of
// each call. After its restart the container can be removed, by the usual
// calls, and the daemon's leak check finds nothing.
func TestContainerdKilledInTheMiddleOfACall(t *testing.T) {
	var guests testenv.Guests
	img := guests.Multi(t, testenv.Wasm)
	for name, call := range map[string]func(*testing.T, *testenv.Containerd, testenv.Spec, func()){
		"Create": killedDuringCreate,
		"Start":  killedDuringStart,
		"Exec":   killedDuringExec,
		"Delete": killedDuringDelete,
	} {
		t.Run(name, func(t *testing.T) {
			c := testenv.StartContainerd(t, testenv.Newest)
			c.Import(t, img)
			for _, ms := range moments {
				t.Run(fmt.Sprintf("after %dms", ms), func(t *testing.T) {
					spec := testenv.Spec{ID: fmt.Sprintf("c%d", ms), Image: img, Args: []string{multi, "sleep"}}
					call(t, c, spec, func() {
						time.Sleep(ms * time.Millisecond)
						c.Kill()
					})
				})
			}
			t.Run("a new container runs", func(t *testing.T) {
				k := c.Run(t, testenv.Spec{ID: "after", Image: img, Args: []string{multi, "exit", "5"}})
				if status := k.Finish(t); status != 5 {
					t.Errorf("exit status is %d, want 5", status)
				}
			})
		})
	}
}

// during runs call while kill is under way, then brings containerd back.
func during(t *testing.T, c *testenv.Containerd, kill func(), call func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		call() // its result says nothing: containerd was killed under it
	}()
	kill()
	<-done
	c.Start(t)
}

func killedDuringCreate(t *testing.T, c *testenv.Containerd, s testenv.Spec, kill func()) {
	during(t, c, kill, func() { c.CreateAny(t, s) })
}

func killedDuringStart(t *testing.T, c *testenv.Containerd, s testenv.Spec, kill func()) {
	k, err := c.Create(t, s)
	if err != nil {
		t.Fatal(err)
	}
	during(t, c, kill, func() { _ = k.Start(k.Context()) })
}

func killedDuringExec(t *testing.T, c *testenv.Containerd, s testenv.Spec, kill func()) {
	k := c.Run(t, s)
	spec, err := k.Container.Spec(k.Context())
	if err != nil {
		t.Fatal(err)
	}
	spec.Process.Args = []string{multi, "sleep"}
	during(t, c, kill, func() {
		if p, err := k.Task.Exec(k.Context(), "e", spec.Process, cio.NullIO); err == nil {
			_ = p.Start(k.Context())
		}
	})
	// The client's connection comes back when it tries again.
	testenv.Eventually(t, "answer through the connection", func() error {
		_, err := k.Status(k.Context())
		return err
	})
	// The container itself has not noticed.
	if r := k.Exec(t, "e2", multi, "echo", "alive"); r.Stdout != "alive\n" {
		t.Errorf("exec after the restart: %+v", r)
	}
}

func killedDuringDelete(t *testing.T, c *testenv.Containerd, s testenv.Spec, kill func()) {
	k := c.Run(t, s)
	k.Signal(t, syscall.SIGKILL)
	if status := k.ExitStatus(t); status != 137 {
		t.Errorf("exit status is %d, want 137", status)
	}
	during(t, c, kill, func() { _, _ = k.Delete(k.Context()) })
}

// group puts a container into the shim of a group.
func group(name string) oci.SpecOpts {
	return oci.WithAnnotations(map[string]string{"io.containerd.runc.v2.group": name})
}
