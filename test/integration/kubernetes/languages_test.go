package kubernetes

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/servers"
	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// served is a server of any language in a pod, behind a Service.
type served struct {
	servers.Server
	*testenv.LivePod
	service string
}

// languages has servers of all languages answer behind a Service, hold a thousand
// connections, idle and stop.
func languages(t *testing.T, k cluster) {
	var all []served
	for _, s := range servers.All(t, &guests) {
		image := s.Image()
		k.Import(t, image)
		name := k.name(s.Name)
		k.Create(t, "/api/v1/namespaces/default/services", k.object(serviceYAML, name))
		metadata := "labels: {app: " + name + "}\nannotations:\n"
		for annotation, value := range s.Annotations {
			metadata += "  " + servers.Prefix + annotation + `: "` + value + "\"\n"
		}
		all = append(all, served{s, k.StartNamedPod(t, name, metadata, k.spec(`
terminationGracePeriodSeconds: 30
containers:
- name: app
  image: `+image.Name+`
  ports: [{name: web, containerPort: `+servers.Port+`}]
  resources: {requests: {cpu: 250m}} # others would leave it next to nothing
`)), name})
	}
	for _, s := range all {
		// All modules are compiled first.
		s.ReadyWithin(t, testenv.CompileLimit)
		if s.Serving != "" {
			s.WaitLogWithin(t, testenv.CompileLimit, "app", s.Serving)
		}
		k.requireEndpoint(t, s.service, s.LivePod, true)
	}
	each := func(name string, check func(*testing.T, served)) {
		t.Run(name, func(t *testing.T) {
			for _, s := range all {
				t.Run(s.Server.Name, func(t *testing.T) { check(t, s) })
			}
		})
	}
	each("answers", func(t *testing.T, s served) {
		testenv.Eventually(t, "answer of the Service", func() error { return k.ask(s) })
	})
	each("clients that hang up", func(t *testing.T, s served) {
		if err := servers.HangUp(s.endpoint(t), 300); err != nil {
			t.Error(err)
		}
		if err := k.ask(s); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
	if k.class == testenv.RuntimeClass { // it is the API server that this costs most
		each("a thousand requests", func(t *testing.T, s served) {
			if s.Costly {
				t.Skip("its thousand connections cost enough")
			}
			begin := time.Now()
			if err := k.askAtOnce(s, 1000); err != nil {
				t.Error(err)
			}
			t.Logf("after %v", time.Since(begin).Round(time.Millisecond))
		})
	}
	// The API server may use a connection for several requests; kube-proxy would bring
	// each connection of a client to the endpoint.
	each("a thousand connections", func(t *testing.T, s served) {
		if s.Costly && k.class != testenv.RuntimeClass {
			t.Skip("once is enough of what costs so much")
		}
		begin := time.Now()
		if err := s.Many(s.endpoint(t), 1000); err != nil {
			t.Error(err)
		}
		t.Logf("after %v", time.Since(begin).Round(time.Millisecond))
		if err := k.ask(s); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
	t.Run("idle", func(t *testing.T) { k.idle(t, all) })
	each("stops", func(t *testing.T, s served) {
		id := strings.TrimPrefix(s.Get(t).Container("app").ContainerID, "containerd://")
		ended := waitForEnd(k.pid(t, s.LivePod, "app"))
		s.Delete(t)
		took := (<-ended).Sub(k.signalled(t, id))
		t.Logf("%v after SIGTERM", took.Round(time.Millisecond))
		// Far from the 30 s after which SIGKILL comes, also on a machine that is busy.
		if took > testenv.Slow(5*time.Second) {
			t.Errorf("it ended %v after SIGTERM", took)
		}
	})
}

func (s served) endpoint(t *testing.T) string {
	t.Helper()
	return net.JoinHostPort(s.Get(t).Status.PodIP, servers.Port)
}

// ask makes a request of the Service.
func (k cluster) ask(s served) error {
	answer, err := k.Read(proxyPath(s.service))
	if err == nil && answer != s.Answer {
		err = fmt.Errorf("the answer is %q", answer)
	}
	return err
}

// askAtOnce returns how many of that many requests have failed, and why one did.
func (k cluster) askAtOnce(s served, count int) error {
	failures := make(chan error, count)
	var all sync.WaitGroup
	for range count {
		all.Go(func() {
			if err := k.ask(s); err != nil {
				failures <- err
			}
		})
	}
	all.Wait()
	if failed := len(failures); failed > 0 {
		return fmt.Errorf("%d of %d requests failed: %w", failed, count, <-failures)
	}
	return nil
}

// idle servers use less than half a percent of a CPU. Their shims are not counted: the
// kubelet keeps asking them for figures.
func (k cluster) idle(t *testing.T, all []served) {
	processes := make(map[string][]string)
	for _, s := range all {
		processes[s.Server.Name] = []string{strconv.Itoa(k.pid(t, s.LivePod, "app"))}
	}
	servers.Idle(t, processes)
}
