package testenv

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Pod is the part of a pod that tests look at.
type Pod struct {
	Metadata Metadata
	Spec     struct{ NodeName string }
	Status   struct {
		Phase, Reason, Message     string
		PodIP                      string
		QOSClass                   string
		Conditions                 []Condition
		InitContainerStatuses      []ContainerStatus
		ContainerStatuses          []ContainerStatus
		EphemeralContainerStatuses []ContainerStatus
	}
}

// Metadata of an object.
type Metadata struct {
	Name, Namespace, UID string
	DeletionTimestamp    string
}

// Condition of a pod, a node or a job.
type Condition struct{ Type, Status, Reason, Message string }

// ContainerStatus is what the kubelet says about a container.
type ContainerStatus struct {
	Name, ContainerID string
	Ready             bool
	RestartCount      int
	State, LastState  ContainerState
	Resources         struct{ Limits map[string]string }
}

// ContainerState has one of its fields set.
type ContainerState struct {
	Waiting    *struct{ Reason, Message string }
	Running    *struct{ StartedAt time.Time }
	Terminated *struct {
		ExitCode              int
		Signal                int
		Reason, Message       string
		StartedAt, FinishedAt time.Time
	}
}

const podsPath = "/api/v1/namespaces/default/pods"

func (p *Pod) path() string { return podsPath + "/" + p.Metadata.Name }

// Container is the status of a container, an init or an ephemeral one too.
func (p *Pod) Container(name string) ContainerStatus {
	for _, list := range [][]ContainerStatus{p.Status.ContainerStatuses, p.Status.InitContainerStatuses, p.Status.EphemeralContainerStatuses} {
		for _, c := range list {
			if c.Name == name {
				return c
			}
		}
	}
	return ContainerStatus{}
}

// Is says whether a condition of the pod is true.
func (p *Pod) Is(condition string) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == condition {
			return c.Status == "True"
		}
	}
	return false
}

// LivePod is a pod of a test.
type LivePod struct {
	Name string
	k    *Cluster
}

// StartPod creates a pod whose specification is YAML, in flow or block style
// without indentation, and deletes it when the test ends. The pod gets a name
// from the test's, and a short grace period if it has none.
func (k *Cluster) StartPod(t testing.TB, spec string) *LivePod {
	t.Helper()
	return k.StartNamedPod(t, podName(t), "", spec)
}

// StartNamedPod is StartPod for tests with several pods; metadata is YAML that
// is put beside the name ("labels: {a: b}").
func (k *Cluster) StartNamedPod(t testing.TB, name, metadata, spec string) *LivePod {
	t.Helper()
	p := &LivePod{Name: name, k: k}
	yaml := "apiVersion: v1\nkind: Pod\nmetadata:\n  name: " + name + "\n" + indent(metadata) + "spec:\n" + indent(spec)
	if !strings.Contains(spec, "terminationGracePeriodSeconds") {
		yaml += "  terminationGracePeriodSeconds: 5\n"
	}
	if err := k.api.send("POST", podsPath, yaml, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			p.explain(t)
		}
		p.Delete(t)
	})
	return p
}

// explain logs what is known about a pod of a failed test.
func (p *LivePod) explain(t testing.TB) {
	if err := p.k.api.get(p.Path(), nil); err != nil {
		t.Logf("pod %s: %v", p.Name, err)
		return
	}
	t.Logf("%s", tail(p.k.KubectlDo(t, "", "describe", "pod", p.Name).Stdout, 60))
	t.Logf("logs: %s", tail(p.k.KubectlDo(t, "", "logs", p.Name, "--all-containers", "--prefix").Stdout, 20))
}

func indent(yaml string) string {
	var b strings.Builder
	for line := range strings.Lines(yaml) {
		if strings.TrimSpace(line) != "" {
			b.WriteString("  " + strings.TrimSuffix(line, "\n") + "\n")
		}
	}
	return b.String()
}

// podName makes a valid name out of the test's.
func podName(t testing.TB) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(t.Name()))
	if len(name) > 60 {
		name = name[len(name)-60:]
	}
	return strings.Trim(name, "-")
}

// Path of the pod in the API.
func (p *LivePod) Path() string { return podsPath + "/" + p.Name }

// Get is the pod now.
func (p *LivePod) Get(t testing.TB) *Pod {
	t.Helper()
	var pod Pod
	p.k.Get(t, p.Path(), &pod)
	return &pod
}

// Until waits until the pod is as check wants it, and returns it.
func (p *LivePod) Until(t testing.TB, what string, check func(*Pod) bool) *Pod {
	t.Helper()
	return p.untilWithin(t, limit, what, check)
}

func (p *LivePod) untilWithin(t testing.TB, limit time.Duration, what string, check func(*Pod) bool) *Pod {
	t.Helper()
	var pod Pod
	EventuallyWithin(t, limit, what+" of pod "+p.Name, func() error {
		pod = Pod{}
		if err := p.k.api.get(p.Path(), &pod); err != nil {
			return err
		}
		if !check(&pod) {
			return fmt.Errorf("its status is %+v", pod.Status)
		}
		return nil
	})
	return &pod
}

// Ready waits until the pod is ready.
func (p *LivePod) Ready(t testing.TB) *Pod {
	t.Helper()
	return p.ReadyWithin(t, limit)
}

// ReadyWithin is Ready with a limit of its own.
func (p *LivePod) ReadyWithin(t testing.TB, limit time.Duration) *Pod {
	t.Helper()
	return p.untilWithin(t, limit, "readiness", func(pod *Pod) bool { return pod.Is("Ready") })
}

// Phase waits for a phase, like Succeeded.
func (p *LivePod) Phase(t testing.TB, phase string) *Pod {
	t.Helper()
	return p.Until(t, "phase "+phase, func(pod *Pod) bool { return pod.Status.Phase == phase })
}

// Logs are the output of a container so far.
func (p *LivePod) Logs(t testing.TB, container string, flags ...string) string {
	t.Helper()
	return p.k.Kubectl(t, append([]string{"logs", p.Name, "--container", container}, flags...)...)
}

// WaitLog waits until a container has printed text.
func (p *LivePod) WaitLog(t testing.TB, container, text string) {
	t.Helper()
	p.WaitLogWithin(t, limit, container, text)
}

// WaitLogWithin is WaitLog with a limit of its own.
func (p *LivePod) WaitLogWithin(t testing.TB, limit time.Duration, container, text string) {
	t.Helper()
	EventuallyWithin(t, limit, fmt.Sprintf("output %q", text), func() error {
		logs, err := p.k.Read(p.Path() + "/log?container=" + container)
		if err == nil && !strings.Contains(logs, text) {
			err = fmt.Errorf("the log is %q", logs)
		}
		return err
	})
}

// Exec runs a program in a container.
func (p *LivePod) Exec(t testing.TB, container string, args ...string) Result {
	t.Helper()
	return p.k.KubectlDo(t, "", append([]string{"exec", p.Name, "--container", container, "--"}, args...)...)
}

// Output is what a program in a container prints; an exit status other than 0
// fails the test.
func (p *LivePod) Output(t testing.TB, container string, args ...string) string {
	t.Helper()
	r := p.Exec(t, container, args...)
	if r.Status != 0 {
		t.Fatalf("exec of %q in pod %s: %+v", args, p.Name, r)
	}
	return r.Stdout
}

// Delete deletes the pod and waits until it has gone. It returns how long that
// took; a pod that is not there any more is no error.
func (p *LivePod) Delete(t testing.TB) time.Duration {
	t.Helper()
	return p.DeleteWithin(t, Slow(time.Minute))
}

// DeleteWithin is Delete with a limit of its own.
func (p *LivePod) DeleteWithin(t testing.TB, limit time.Duration) time.Duration {
	t.Helper()
	begin := time.Now()
	if err := p.k.api.send("DELETE", p.Path(), "", nil); isNotFound(err) {
		return 0
	} else if err != nil {
		t.Error(err)
		return 0
	}
	for {
		err := p.k.api.get(p.Path(), nil)
		if isNotFound(err) {
			return time.Since(begin)
		}
		if time.Since(begin) > limit {
			t.Errorf("pod %s has not gone within %s (%v)", p.Name, limit, err)
			_ = p.k.api.send("DELETE", p.Path(), "gracePeriodSeconds: 0", nil)
			return time.Since(begin)
		}
		// Many who ask all the time would keep the node from its work.
		time.Sleep(min(20*time.Millisecond+time.Since(begin)/10, time.Second))
	}
}
