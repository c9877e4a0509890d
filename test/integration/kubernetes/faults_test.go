package kubernetes

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// TestFaults ends parts of a node by SIGKILL below running pods.
func TestFaults(t *testing.T) {
	shared := startCluster(t)
	t.Run("podsandbox", func(t *testing.T) { faults(t, cluster{shared, testenv.RuntimeClass}) })
	t.Run("sandboxer", func(t *testing.T) { faults(t, cluster{shared, testenv.SandboxedClass}) })
}

func faults(t *testing.T, k cluster) {
	const n = 20
	pods := make([]*testenv.LivePod, n)
	for i := range pods {
		pods[i] = k.StartNamedPod(t, k.name(fmt.Sprintf("pod-%d", i)), "labels: {app: "+k.name("faults")+"}", k.spec(`
terminationGracePeriodSeconds: 5
containers:
- {name: app, image: WASM, args: [sleep]}
- {name: tools, image: TOOLS, args: [serve, "8080"]}
`))
	}
	for _, p := range pods {
		p.Ready(t)
	}
	t.Run("containerd", func(t *testing.T) { killContainerd(t, k, pods) })
	t.Run("kubelet", func(t *testing.T) { killKubelet(t, k, pods) })
	t.Run("shim", func(t *testing.T) { killShim(t, k, pods) })
	t.Run("guest", func(t *testing.T) { killGuest(t, k, pods) })
	t.Run("holder", func(t *testing.T) { killHolder(t, k, pods) })
	deleteAll(t, pods)
}

// lives are the containers of pods by name, with their restarts: what must not
// change while something else fails.
func (k cluster) lives(t *testing.T) map[string]string {
	t.Helper()
	lives := map[string]string{}
	for _, pod := range k.podsOf(t, "app="+k.name("faults")) {
		var all []string
		for _, c := range pod.Status.ContainerStatuses {
			all = append(all, fmt.Sprintf("%s %s %d", c.Name, c.ContainerID, c.RestartCount))
		}
		lives[pod.Metadata.Name] = fmt.Sprintf("%q", all)
	}
	return lives
}

func requireSame(t *testing.T, before, after map[string]string, but string) {
	t.Helper()
	for name, life := range before {
		if name != but && after[name] != life {
			t.Errorf("pod %s was %s and is %s", name, life, after[name])
		}
	}
}

// allWork uses every pod.
func allWork(t *testing.T, k cluster, pods []*testenv.LivePod) {
	t.Helper()
	for _, p := range pods {
		pod := p.Ready(t)
		testenv.Eventually(t, "answer of pod "+p.Name, func() error {
			answer, err := k.Read(p.Path() + ":8080/proxy/")
			if err == nil && answer != "hello from "+p.Name+"\n" {
				err = fmt.Errorf("it is %q", answer)
			}
			return err
		})
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", k.pid(t, p, "app"))); err != nil || !pod.Container("app").Ready {
			t.Errorf("the guest of pod %s: %v", p.Name, err)
		}
	}
	// A kubelet that has just come back knows its pods a moment later.
	testenv.Eventually(t, "exec in pod "+pods[0].Name, func() error {
		if r := pods[0].Exec(t, "app", "/multi.wasm", "exit", "7"); r.Status != 7 {
			return fmt.Errorf("%+v", r)
		}
		return nil
	})
}

func killContainerd(t *testing.T, k cluster, pods []*testenv.LivePod) {
	before := k.lives(t)
	k.Containerd.Kill()
	time.Sleep(time.Second)
	k.Containerd.Start(t)
	k.WaitForNode(t)
	allWork(t, k, pods)
	requireSame(t, before, k.lives(t), "")
}

func killKubelet(t *testing.T, k cluster, pods []*testenv.LivePod) {
	before := k.lives(t)
	k.KillKubelet()
	k.StartKubelet(t)
	k.WaitForNode(t)
	allWork(t, k, pods)
	requireSame(t, before, k.lives(t), "")
}

// killShim ends the shim of one pod: the kubelet makes that pod anew, and nothing
// of the old one may go on.
func killShim(t *testing.T, k cluster, pods []*testenv.LivePod) {
	before := k.lives(t)
	p := pods[0]
	old := []int{k.pid(t, p, "app"), k.pid(t, p, "tools")}
	shim := parent(t, old[0])
	if got := commandName(shim); got != "containerd-shim-wazero-v1" {
		t.Fatalf("the parent of the guest is %q", got)
	}
	begin := time.Now()
	if err := syscall.Kill(shim, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	k.requireReplaced(t, p, old)
	t.Logf("the pod was replaced %s after the end of its shim", time.Since(begin).Round(time.Millisecond))
	allWork(t, k, pods)
	requireSame(t, before, k.lives(t), p.Name)
}

// requireReplaced waits until both containers of a pod have been made anew and
// the old processes have ended.
func (k cluster) requireReplaced(t *testing.T, p *testenv.LivePod, old []int) {
	t.Helper()
	// More than once if the first attempt took too long.
	p.Until(t, "replacement", func(pod *testenv.Pod) bool {
		return pod.Is("Ready") && pod.Container("app").RestartCount >= 1 && pod.Container("tools").RestartCount >= 1
	})
	for _, pid := range old {
		testenv.Eventually(t, "end of the old processes", func() error {
			if name := commandName(pid); name != "" {
				return fmt.Errorf("process %d (%s) lives", pid, name)
			}
			return nil
		})
	}
}

// killHolder ends the process that keeps a pod's namespaces, pause or our own.
func killHolder(t *testing.T, k cluster, pods []*testenv.LivePod) {
	before := k.lives(t)
	p := pods[2]
	old := []int{k.pid(t, p, "app"), k.pid(t, p, "tools")}
	holder := k.holder(t, p)
	begin := time.Now()
	if err := syscall.Kill(holder, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	k.requireReplaced(t, p, old)
	t.Logf("the pod was replaced %s after the end of its holder", time.Since(begin).Round(time.Millisecond))
	allWork(t, k, pods)
	requireSame(t, before, k.lives(t), p.Name)
}

// holder is the process that CRI names as the sandbox's.
func (k cluster) holder(t *testing.T, p *testenv.LivePod) int {
	t.Helper()
	out, err := k.Crictl("inspectp", "--output", "json", k.sandboxID(t, p)).Output()
	if err != nil {
		t.Fatalf("crictl inspectp: %v", err)
	}
	var answer struct{ Info struct{ PID int } }
	if err := json.Unmarshal(out, &answer); err != nil || answer.Info.PID < 2 {
		t.Fatalf("crictl inspectp says %s (%v)", out, err)
	}
	return answer.Info.PID
}

// killGuest ends the processes of one container: only that one is restarted.
func killGuest(t *testing.T, k cluster, pods []*testenv.LivePod) {
	p := pods[1]
	before, tools := k.lives(t), p.Get(t).Container("tools")
	if err := syscall.Kill(k.pid(t, p, "app"), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	pod := p.Until(t, "restart", func(pod *testenv.Pod) bool { return pod.Is("Ready") && pod.Container("app").RestartCount == 1 })
	if last := pod.Container("app").LastState.Terminated; last == nil || last.ExitCode != 137 || last.Reason != "Error" {
		t.Errorf("the guest that was killed ended with %+v", last)
	}
	if now := pod.Container("tools"); now.ContainerID != tools.ContainerID {
		t.Error("the sidecar was restarted, too")
	}
	allWork(t, k, pods)
	requireSame(t, before, k.lives(t), p.Name)
}

// parent of a process; 0 if it has none here.
func parent(t *testing.T, pid int) int {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	ppid, _ := strconv.Atoi(kernelStatus(t, string(data))["PPid"])
	return ppid
}

// commandName is the name of a process's program; empty if it has ended.
func commandName(pid int) string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return ""
	}
	program, _, _ := strings.Cut(string(data), "\x00")
	return filepath.Base(program)
}
