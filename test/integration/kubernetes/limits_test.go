package kubernetes

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/isolated"
	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// limits of a container are what the kernel has.
func limits(t *testing.T, k cluster) {
	p := k.pod(t, `
containers:
- {name: app, image: WASM, args: [sleep], resources: {limits: {cpu: 250m, memory: 96Mi}}}
`)
	pod := p.Ready(t)
	for _, f := range []struct{ controller, v1, v2, want string }{
		{"memory", "memory.limit_in_bytes", "memory.max", fmt.Sprint(96 << 20)},
		{"cpu", "cpu.cfs_quota_us", "cpu.max", "25000"},
	} {
		if got, err := k.oneOf(pod, f.controller, f.v1, f.v2); err != nil || got != f.want {
			t.Errorf("the limit of %s is %q (%v), want %s", f.controller, got, err, f.want)
		}
	}
	if isolated.UnderSystemd() {
		for _, id := range []string{k.sandboxID(t, p), strings.TrimPrefix(pod.Container("app").ContainerID, "containerd://")} {
			requireScope(t, pod, id)
		}
	}
}

// requireScope looks for the scope that systemd has made of a container of a
// guaranteed pod.
func requireScope(t *testing.T, pod *testenv.Pod, id string) {
	t.Helper()
	slice := "kubepods-pod" + strings.ReplaceAll(pod.Metadata.UID, "-", "_") + ".slice"
	scope := "cri-containerd-" + id + ".scope"
	members, err := os.ReadFile(filepath.Join("/sys/fs/cgroup/kubepods.slice", slice, scope, "cgroup.procs"))
	if err != nil || len(members) == 0 {
		t.Errorf("the scope has the members %q (%v)", members, err)
	}
	out, err := exec.Command("systemctl", "show", "--property=Slice,ActiveState", scope).Output()
	if want := "Slice=" + slice + "\nActiveState=active\n"; err != nil || string(out) != want {
		t.Errorf("systemd shows %q (%v) of %s, want %q", out, err, scope, want)
	}
}

func oomKilled(t *testing.T, k cluster) {
	p := k.pod(t, `
restartPolicy: Never
containers:
- {name: app, image: WASM, args: [alloc, "512"], resources: {limits: {memory: 128Mi}}}
- {name: sidecar, image: TOOLS, args: [serve, "8080"], resources: {limits: {memory: 128Mi}}}
`)
	pod := p.Until(t, "end of the guest", func(pod *testenv.Pod) bool { return pod.Container("app").State.Terminated != nil })
	if end := pod.Container("app").State.Terminated; end.ExitCode != 137 || end.Reason != "OOMKilled" {
		t.Errorf("the guest that wants too much memory ended with %+v", end)
	}
	if pod.Container("sidecar").State.Running == nil {
		t.Errorf("the sidecar is %+v", pod.Container("sidecar").State)
	}
}

// cpuLimit sees the kernel throttle a guest that spins.
func cpuLimit(t *testing.T, k cluster) {
	p := k.pod(t, `
containers:
- {name: app, image: WASM, args: [spin], resources: {limits: {cpu: 200m, memory: 128Mi}}}
`)
	pod := p.Ready(t)
	testenv.Eventually(t, "throttling", func() error {
		stat, err := k.CgroupFile(pod, "app", "cpu", "cpu.stat")
		if err != nil {
			return err
		}
		for line := range strings.Lines(stat) {
			var n int
			if _, err := fmt.Sscanf(line, "nr_throttled %d", &n); err == nil && n >= 3 {
				return nil
			}
		}
		return fmt.Errorf("cpu.stat is %q", stat)
	})
}
