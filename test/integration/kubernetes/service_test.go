package kubernetes

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

const serviceYAML = `
apiVersion: v1
kind: Service
metadata: {name: NAME}
spec:
  selector: {app: NAME}
  ports: [{name: http, port: 80, targetPort: web}]
`

// service leads to a native sidecar's port when the guest beside it is ready, which
// a module in its container decides. The API server connects as its clients would
// have kube-proxy connect.
func service(t *testing.T, k cluster) {
	name := k.name("served")
	k.Create(t, "/api/v1/namespaces/default/services", k.object(serviceYAML, name))
	p := k.StartNamedPod(t, name, "labels: {app: "+name+"}", k.spec(`
containers:
- name: app
  image: WASM
  args: [sleep]
  readinessProbe: {exec: {command: [/multi.wasm, read, /tmp/ready]}, periodSeconds: 1}
- {name: server, image: TOOLS, args: [serve, "8080"], ports: [{name: web, containerPort: 8080}]}
`))
	p.WaitLog(t, "server", "serving")
	k.requireEndpoint(t, name, p, false)
	if answer, err := k.Read(proxyPath(name)); err == nil || !strings.Contains(err.Error(), "no endpoints available") {
		t.Errorf("before the guest is ready the service answers %q (%v)", answer, err)
	}
	p.Output(t, "app", "/multi.wasm", "write", "/tmp/ready", "yes")
	k.requireEndpoint(t, name, p, true)
	testenv.Eventually(t, "answer of the service", func() error {
		answer, err := k.Read(proxyPath(name))
		if err == nil && answer != "hello from "+p.Name+"\n" {
			err = fmt.Errorf("it is %q", answer)
		}
		return err
	})
	// The next guest of the container has another /tmp.
	if err := syscall.Kill(k.pid(t, p, "app"), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	k.requireEndpoint(t, name, p, false)
}

func proxyPath(service string) string {
	return "/api/v1/namespaces/default/services/" + service + ":http/proxy/"
}

// requireEndpoint waits until a service has a pod as its only endpoint, ready or
// not, with the number of the port that it calls by name.
func (k cluster) requireEndpoint(t *testing.T, service string, p *testenv.LivePod, ready bool) {
	t.Helper()
	testenv.Eventually(t, fmt.Sprintf("endpoint that is ready: %t", ready), func() error {
		var slices struct {
			Items []struct {
				Endpoints []struct {
					Addresses  []string
					Conditions struct{ Ready bool }
					TargetRef  struct{ Name string }
				}
				Ports []struct {
					Name string
					Port int
				}
			}
		}
		k.Get(t, "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?labelSelector=kubernetes.io/service-name="+service, &slices)
		if len(slices.Items) == 1 && len(slices.Items[0].Endpoints) == 1 && len(slices.Items[0].Ports) == 1 {
			e, port := slices.Items[0].Endpoints[0], slices.Items[0].Ports[0]
			if e.TargetRef.Name == p.Name && e.Conditions.Ready == ready && port.Port == 8080 &&
				len(e.Addresses) == 1 && e.Addresses[0] == p.Get(t).Status.PodIP {
				return nil
			}
		}
		return fmt.Errorf("the slices are %+v", slices.Items)
	})
}
