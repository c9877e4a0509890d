package kubernetes

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// copyFiles uses kubectl cp, which executes tar in the container: a native one has
// it, and reaches the guest's files over a volume.
func copyFiles(t *testing.T, k cluster) {
	p := k.pod(t, `
volumes: [{name: disk, emptyDir: {}}]
containers:
- {name: app, image: WASM, args: [sleep], volumeMounts: [{name: disk, mountPath: /disk}]}
- {name: tools, image: TOOLS, command: [/multi, sleep], volumeMounts: [{name: disk, mountPath: /disk}]}
`)
	p.Ready(t)
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	if err := os.WriteFile(in, []byte("from outside"), 0o644); err != nil {
		t.Fatal(err)
	}
	k.Kubectl(t, "cp", in, p.Name+":/disk/in", "--container", "tools")
	if got := p.Output(t, "app", "/multi.wasm", "read", "/disk/in"); got != "from outside" {
		t.Errorf("the guest reads %q", got)
	}
	p.Output(t, "app", "/multi.wasm", "write", "/disk/out", "from the guest")
	k.Kubectl(t, "cp", p.Name+":/disk/out", out, "--container", "tools")
	if data, err := os.ReadFile(out); err != nil || string(data) != "from the guest\n" {
		t.Errorf("outside has come %q (%v)", data, err)
	}
	// What docs/kubernetes.md says of a container without tar.
	r := k.KubectlDo(t, "", "cp", in, p.Name+":/disk/in", "--container", "app")
	if want := `"tar": executable file not found in $PATH`; r.Status == 0 || !strings.Contains(r.Stderr, want) {
		t.Errorf("kubectl cp into a container without tar does not say %q: %+v", want, r)
	}
}
