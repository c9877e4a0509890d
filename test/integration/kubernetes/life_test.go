package kubernetes

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// resize changes the limits of a running guest.
func resize(t *testing.T, k cluster) {
	p := k.pod(t, `
containers:
- {name: app, image: WASM, args: [sleep], resources: {requests: {cpu: 100m, memory: 64Mi}, limits: {cpu: 200m, memory: 128Mi}}}
`)
	pod := p.Ready(t)
	before := k.pid(t, p, "app")
	k.Kubectl(t, "patch", "pod", p.Name, "--subresource", "resize", "--patch",
		`{"spec": {"containers": [{"name": "app", "resources": {"limits": {"cpu": "300m", "memory": "192Mi"}}}]}}`)
	testenv.Eventually(t, "new limits", func() error {
		memory, err := k.oneOf(pod, "memory", "memory.limit_in_bytes", "memory.max")
		if err != nil {
			return err
		}
		cpu, err := k.oneOf(pod, "cpu", "cpu.cfs_quota_us", "cpu.max")
		if err != nil {
			return err
		}
		if memory != fmt.Sprint(192<<20) || cpu != "30000" {
			return fmt.Errorf("the kernel has the memory limit %s and the CPU quota %s", memory, cpu)
		}
		return nil
	})
	p.Until(t, "new limits", func(pod *testenv.Pod) bool {
		return pod.Container("app").Resources.Limits["memory"] == "192Mi" && pod.Container("app").Resources.Limits["cpu"] == "300m"
	})
	if after := k.pid(t, p, "app"); after != before || p.Get(t).Container("app").RestartCount != 0 {
		t.Error("the guest was restarted")
	}
}

// oneOf is the first word of a file of the guest's cgroup, in v1 or in v2.
func (k cluster) oneOf(pod *testenv.Pod, controller, v1, v2 string) (string, error) {
	value, err := k.CgroupFile(pod, "app", controller, v1)
	if os.IsNotExist(err) {
		value, err = k.CgroupFile(pod, "app", controller, v2)
	}
	if err != nil {
		return "", err
	}
	return strings.Fields(value + " empty")[0], nil
}

// hooks run modules in the container after its start and before its end.
func hooks(t *testing.T, k cluster) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	p := k.pod(t, `
volumes: [{name: node, hostPath: {path: "`+dir+`"}}]
containers:
- name: app
  image: WASM
  args: [sleep]
  volumeMounts: [{name: node, mountPath: /node}]
  lifecycle:
    postStart: {exec: {command: [/multi.wasm, write, /node/started, "yes"]}}
    preStop: {exec: {command: [/multi.wasm, write, /node/stopping, "yes"]}}
`)
	p.Ready(t)
	exists := func(name string) bool { _, err := os.Stat(filepath.Join(dir, name)); return err == nil }
	if !exists("started") || exists("stopping") {
		t.Errorf("of the running pod, postStart has run: %t, preStop: %t", exists("started"), exists("stopping"))
	}
	p.Delete(t)
	if !exists("stopping") {
		t.Error("preStop has not run")
	}
}

// debugContainer looks at a guest from a container that is added later.
func debugContainer(t *testing.T, k cluster) {
	p := k.pod(t, sleeper)
	p.Ready(t)
	k.Kubectl(t, "debug", p.Name, "--image="+toolsImage, "--image-pull-policy=Never",
		"--profile=general", "--container=debugger", "--target=app", "--", "/toolbox", "ps")
	p.Until(t, "end of the debugger", func(pod *testenv.Pod) bool { return pod.Container("debugger").State.Terminated != nil })
	if got := p.Logs(t, "debugger"); !strings.Contains(got, "/multi.wasm sleep") {
		t.Errorf("the debugger does not see the guest:\n%s", got)
	}
	if !p.Get(t).Is("Ready") {
		t.Error("the pod is not ready any more")
	}
}

// hundred creates a hundred pods at once and deletes them.
func hundred(t *testing.T, k cluster) {
	const n = 100
	begin := time.Now()
	pods := make([]*testenv.LivePod, n)
	for i := range pods {
		pods[i] = k.StartNamedPod(t, k.name(fmt.Sprintf("hundred-%d", i)), "labels: {app: "+k.name("hundred")+"}", k.spec(`
terminationGracePeriodSeconds: 30
automountServiceAccountToken: false
containers:
- {name: app, image: WASM, args: [sleep]}
`))
	}
	for deadline := time.Now().Add(4 * time.Minute); ; time.Sleep(500 * time.Millisecond) {
		ready := 0
		for _, pod := range k.podsOf(t, "app="+k.name("hundred")) {
			if pod.Is("Ready") {
				ready++
			}
		}
		if ready == n {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d pods are ready", ready, n)
		}
	}
	t.Logf("%d pods ready after %s", n, time.Since(begin).Round(time.Millisecond))
	begin = time.Now()
	deleteAll(t, pods)
	t.Logf("%d pods deleted after %s", n, time.Since(begin).Round(time.Millisecond))
	if k.class == testenv.SandboxedClass {
		k.ForgetPods(t)
	}
	k.RequireClean(t)
}

// deleteAll deletes pods at once, of which each may have to wait for all the others.
func deleteAll(t *testing.T, pods []*testenv.LivePod) {
	var all sync.WaitGroup
	for _, p := range pods {
		all.Go(func() { p.DeleteWithin(t, testenv.Slow(3*time.Minute)) })
	}
	all.Wait()
}
