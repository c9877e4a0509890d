package kubernetes

import (
	"strings"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// terminationMessage is what a guest leaves for kubectl describe.
func terminationMessage(t *testing.T, k cluster) {
	p := k.pod(t, `
restartPolicy: Never
containers:
- {name: says, image: WASM, args: [write, /dev/termination-log, as I wished]}
- {name: traps, image: WASM, args: [trap], terminationMessagePolicy: FallbackToLogsOnError}
`)
	pod := p.Phase(t, "Failed")
	if end := pod.Container("says").State.Terminated; end.Message != "as I wished\n" || end.Reason != "Completed" {
		t.Errorf("the guest that says why ended with %+v", end)
	}
	if end := pod.Container("traps").State.Terminated; !strings.Contains(end.Message, "out of bounds memory access") || end.ExitCode != 134 {
		t.Errorf("the guest that traps ended with %+v", end)
	}
}

// notFound starts containers whose program is not there: the pod says so.
func notFound(t *testing.T, k cluster) {
	for name, spec := range map[string]string{
		"wasm":   `{name: app, image: WASM, command: [/missing]}`,
		"native": `{name: app, image: TOOLS, command: [/missing]}`,
	} {
		p := k.StartNamedPod(t, k.name("missing-"+name), "", k.spec("restartPolicy: Never\ncontainers:\n- "+spec+"\n"))
		pod := p.Until(t, "end of the container", func(pod *testenv.Pod) bool { return pod.Container("app").State.Terminated != nil })
		end := pod.Container("app").State.Terminated
		if end.Reason != "StartError" && end.Reason != "ContainerCannotRun" || end.ExitCode == 0 || !strings.Contains(end.Message, "/missing") {
			t.Errorf("%s: a container whose program is missing ended with %+v", name, end)
		}
	}
}

// files are those that the kubelet makes for every pod.
func files(t *testing.T, k cluster) {
	p := k.pod(t, `
hostAliases: [{ip: 192.0.2.1, hostnames: [elsewhere.test]}]
dnsPolicy: None
dnsConfig: {nameservers: [192.0.2.53], searches: [pods.test]}
containers:
- {name: app, image: WASM, args: [sleep]}
- {name: tools, image: TOOLS, command: [/multi, sleep]}
`)
	pod := p.Ready(t)
	for _, test := range []struct{ file, want string }{
		{"/etc/hosts", pod.Status.PodIP + "\t" + p.Name + "\n"},
		{"/etc/hosts", "192.0.2.1\telsewhere.test\n"},
		{"/etc/resolv.conf", "search pods.test\nnameserver 192.0.2.53\n"},
		{"/etc/hostname", p.Name + "\n"},
	} {
		if got := p.Output(t, "app", "/multi.wasm", "read", test.file); !strings.Contains(got, test.want) {
			t.Errorf("%s does not contain %q:\n%s", test.file, test.want, got)
		}
	}
	p.Output(t, "app", "/multi.wasm", "write", "/dev/shm/note", "from the guest")
	if got := p.Output(t, "tools", "/multi", "read", "/dev/shm/note"); got != "from the guest\n" {
		t.Errorf("in the shared memory the sidecar reads %q", got)
	}
}
