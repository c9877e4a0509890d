package kubernetes

import (
	"fmt"
	"strings"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// wasmService leads to a guest that has been given its port by an annotation of the
// pod, and is probed there. The pod's other guest has one of its own, by a variable.
func wasmService(t *testing.T, k cluster) {
	name := k.name("wasm-served")
	k.Create(t, "/api/v1/namespaces/default/services", k.object(serviceYAML, name))
	p := k.StartNamedPod(t, name, "labels: {app: "+name+"}\n"+askByAnnotation, k.spec(`
containers:
- name: app
  image: SERVER
  ports: [{name: web, containerPort: 8080}]
  readinessProbe: {httpGet: {port: web, path: /ready}, periodSeconds: 1}
  livenessProbe: {tcpSocket: {port: web}, periodSeconds: 1}
- name: other
  image: SERVER
  env: [{name: WAZERO_LISTEN, value: "tcp://:8081"}]
  readinessProbe: {httpGet: {port: 8081}, periodSeconds: 1}
`))
	p.Ready(t)
	testenv.Eventually(t, "answer of the guest", func() error {
		answer, err := k.Read(proxyPath(name) + "path")
		if err == nil && answer != "hello from /path\n" {
			err = fmt.Errorf("it is %q", answer)
		}
		return err
	})
}

const askByAnnotation = `annotations: {io.containerd.wazero.v1.listen/app: "web=tcp://:8080"}`

// usedPort is what the second guest of a pod hears that wants the port of the first.
func usedPort(t *testing.T, k cluster) {
	p := k.StartNamedPod(t, k.name("used-port"), askByAnnotation, k.spec(`
containers:
- {name: app, image: SERVER}
- {name: late, image: SERVER, env: [{name: WAZERO_LISTEN, value: "tcp://:8080"}]}
`))
	const want = `listener "tcp://:8080": bind: address already in use: another process of the pod or the network has it`
	pod := p.Until(t, "refusal of a port", func(pod *testenv.Pod) bool {
		c := pod.Container("late")
		for _, s := range []testenv.ContainerState{c.State, c.LastState} {
			if s.Waiting != nil && strings.Contains(s.Waiting.Message, want) || s.Terminated != nil && strings.Contains(s.Terminated.Message, want) {
				return true
			}
		}
		return false
	})
	if pod.Container("app").State.Running == nil {
		t.Errorf("the first guest is %+v", pod.Container("app").State)
	}
}
