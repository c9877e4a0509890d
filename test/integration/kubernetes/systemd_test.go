package kubernetes

import (
	"fmt"
	"maps"
	"os/exec"
	"strings"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/isolated"
	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// scopes of containers keep their limits when systemd reads its configuration again,
// and are gone with their pod.
func scopes(t *testing.T, k cluster) {
	if !isolated.UnderSystemd() {
		t.Skip("systemd does not make the cgroups here")
	}
	p := k.pod(t, `
containers:
- {name: app, image: WASM, args: [sleep], resources: {requests: {cpu: 100m, memory: 64Mi}, limits: {cpu: 200m, memory: 128Mi}}}
`)
	pod := p.Ready(t)
	id := strings.TrimPrefix(pod.Container("app").ContainerID, "containerd://")
	if l := k.Containerd.LaunchedFor(t, id); l.Launcher != "direct" {
		t.Errorf("the container was made by %+v", l)
	}
	unit := "cri-containerd-" + id + ".scope"
	limits := func(memory, cpu string) map[string]string {
		return map[string]string{"memory.max": memory, "memory.swap.max": "0", "cpu.max": cpu, "pids.max": k.limitsOf(t, pod, "pids.max")["pids.max"]}
	}
	require := func(when string, want map[string]string) {
		t.Helper()
		if got := k.limitsOf(t, pod, "memory.max", "memory.swap.max", "cpu.max", "pids.max"); !maps.Equal(got, want) {
			t.Errorf("%s the limits are %v, want %v", when, got, want)
		}
	}
	before := limits(fmt.Sprint(128<<20), "20000 100000")
	require("at first", before)
	systemctl(t, "daemon-reload")
	require("when systemd was reloaded,", before)
	k.Kubectl(t, "patch", "pod", p.Name, "--subresource", "resize", "--patch",
		`{"spec": {"containers": [{"name": "app", "resources": {"limits": {"cpu": "255m", "memory": "192Mi"}}}]}}`)
	after := limits(fmt.Sprint(192<<20), "26000 100000") // systemd has whole percents
	testenv.Eventually(t, "new limits", func() error {
		if got := k.limitsOf(t, pod, "memory.max", "memory.swap.max", "cpu.max", "pids.max"); !maps.Equal(got, after) {
			return fmt.Errorf("they are %v, want %v", got, after)
		}
		return nil
	})
	systemctl(t, "daemon-reload")
	require("after an update, when systemd was reloaded,", after)
	if out, err := k.KubectlCommand("exec", p.Name, "--", "/multi.wasm", "echo", "within").CombinedOutput(); err != nil || string(out) != "within\n" {
		t.Errorf("an exec says %q (%v)", out, err)
	}
	shown := systemctl(t, "show", "--property=MemoryMax,CPUQuotaPerSecUSec,ActiveState", unit)
	for _, want := range []string{"ActiveState=active\n", "CPUQuotaPerSecUSec=260ms\n", "MemoryMax=201326592\n"} {
		if !strings.Contains(shown, want) {
			t.Errorf("systemd shows %q", shown)
		}
	}
	k.Kubectl(t, "delete", "pod", p.Name, "--wait")
	testenv.Eventually(t, "end of the unit", func() error {
		if left := systemctl(t, "list-units", "--all", "--plain", "--no-legend", unit); strings.TrimSpace(left) != "" {
			return fmt.Errorf("it is there: %s", left)
		}
		return nil
	})
}

// limitsOf reads files of the container's cgroup.
func (k cluster) limitsOf(t *testing.T, pod *testenv.Pod, files ...string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, file := range files {
		value, err := k.CgroupFile(pod, "app", "memory", file)
		if err != nil {
			t.Error(err)
		}
		found[file] = strings.TrimSpace(value)
	}
	return found
}

func systemctl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("systemctl", args...).CombinedOutput()
	if err != nil {
		t.Errorf("systemctl %s: %v: %s", args, err, out)
	}
	return string(out)
}
