package kubernetes

import (
	"strings"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// artifact is an image that is a module and no root file system, pulled by the
// kubelet from a registry.
func artifact(t *testing.T, k cluster) {
	image := k.Registry.PushModule(t, "registry.test/"+k.name("artifact")+":1", guests.Build(t, "multi", testenv.Wasm))
	p := k.pod(t, strings.ReplaceAll(`
restartPolicy: Never
volumes: [{name: disk, emptyDir: {}}]
initContainers:
- {name: writes, image: ARTIFACT, command: ["/"], args: [write, /disk/note, from the artifact], volumeMounts: [{name: disk, mountPath: /disk}]}
containers:
- name: app
  image: ARTIFACT
  imagePullPolicy: Always
  command: ["/"]
  args: [sleep]
  volumeMounts: [{name: disk, mountPath: /disk}]
  readinessProbe: {exec: {command: ["/", read, /disk/note]}, periodSeconds: 1}
- {name: tools, image: TOOLS, command: [/multi, sleep], volumeMounts: [{name: disk, mountPath: /disk}]}
`, "ARTIFACT", image))
	p.Ready(t)
	if got := p.Output(t, "app", "/", "read", "/disk/note"); got != "from the artifact\n" {
		t.Errorf("the guest reads %q", got)
	}
	if got := p.Output(t, "tools", "/multi", "read", "/disk/note"); got != "from the artifact\n" {
		t.Errorf("the sidecar reads %q", got)
	}
	if r := p.Exec(t, "app", "/", "exit", "7"); r.Status != 7 {
		t.Errorf("exec of the artifact: %+v", r)
	}
}
