package kubernetes

import (
	"testing"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// execProbes run a module in the container: one waits for a file, one fails when
// that file is gone.
func execProbes(t *testing.T, k cluster) {
	p := k.pod(t, `
volumes: [{name: shared, emptyDir: {}}]
containers:
- name: app
  image: WASM
  args: [sleep]
  volumeMounts: [{name: shared, mountPath: /shared}]
  readinessProbe: {exec: {command: [/multi.wasm, read, /shared/flag]}, periodSeconds: 1}
  livenessProbe: {exec: {command: [/multi.wasm, ls, /shared/alive]}, periodSeconds: 1, failureThreshold: 1, initialDelaySeconds: 5}
- {name: tools, image: TOOLS, command: [/multi, sleep], volumeMounts: [{name: shared, mountPath: /shared}]}
`)
	p.Until(t, "start", func(pod *testenv.Pod) bool {
		return pod.Container("app").State.Running != nil && pod.Container("tools").State.Running != nil
	})
	if p.Get(t).Is("Ready") {
		t.Error("the pod is ready before its probe can succeed")
	}
	p.Output(t, "tools", "/multi", "write", "/shared/flag", "up")
	p.Until(t, "readiness", func(pod *testenv.Pod) bool { return pod.Container("app").Ready })
	pod := p.Until(t, "restart", func(pod *testenv.Pod) bool { return pod.Container("app").RestartCount > 0 })
	if pod.Container("tools").RestartCount != 0 {
		t.Error("the other container was restarted, too")
	}
	if last := pod.Container("app").LastState.Terminated; last == nil || last.ExitCode != 143 {
		t.Errorf("the probe's failure ended the guest with %+v", last)
	}
}

// httpProbes ask a server; the container that they decide about is the guest.
func httpProbes(t *testing.T, k cluster) {
	p := k.pod(t, `
containers:
- name: app
  image: WASM
  args: [sleep]
  readinessProbe: {httpGet: {port: 8080}, periodSeconds: 1}
  livenessProbe: {httpGet: {port: 8080}, periodSeconds: 1, failureThreshold: 2}
  startupProbe: {httpGet: {port: 8080}, periodSeconds: 1, failureThreshold: 60}
- {name: server, image: TOOLS, args: [serve, "8080"]}
`)
	p.Ready(t)
	p.Output(t, "server", "/toolbox", "get", "http://127.0.0.1:8080/fail")
	p.Until(t, "end of readiness", func(pod *testenv.Pod) bool { return !pod.Container("app").Ready })
	p.Until(t, "restart", func(pod *testenv.Pod) bool { return pod.Container("app").RestartCount > 0 })
}

func tcpProbe(t *testing.T, k cluster) {
	p := k.pod(t, `
containers:
- {name: app, image: WASM, args: [sleep], readinessProbe: {tcpSocket: {port: 9090}, periodSeconds: 1}}
- {name: server, image: TOOLS, args: [tcp, "9090"]}
- {name: never, image: WASM, args: [sleep], readinessProbe: {tcpSocket: {port: 9091}, periodSeconds: 1}}
`)
	p.Until(t, "readiness", func(pod *testenv.Pod) bool { return pod.Container("app").Ready && pod.Container("server").Ready })
	time.Sleep(1500 * time.Millisecond)
	if p.Get(t).Container("never").Ready {
		t.Error("a container whose port nobody listens on is ready")
	}
}
