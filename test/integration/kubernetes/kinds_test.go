package kubernetes

import (
	"fmt"
	"strings"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

func initContainers(t *testing.T, k cluster) {
	p := k.pod(t, `
volumes: [{name: shared, emptyDir: {}}]
restartPolicy: Never
initContainers:
- {name: one, image: WASM, args: [write, /shared/one, from wasm], volumeMounts: [{name: shared, mountPath: /shared}]}
- {name: two, image: TOOLS, command: [/multi, read, /shared/one], volumeMounts: [{name: shared, mountPath: /shared}]}
containers:
- {name: app, image: WASM, args: [read, /shared/one], volumeMounts: [{name: shared, mountPath: /shared}]}
`)
	p.Phase(t, "Succeeded")
	for _, container := range []string{"two", "app"} {
		if got := p.Logs(t, container); got != "from wasm\n" {
			t.Errorf("container %s has read %q", container, got)
		}
	}
}

// restartableSidecar is an init container that lives as long as the pod: the
// others start after it, and it ends after them.
func restartableSidecar(t *testing.T, k cluster) {
	p := k.pod(t, `
volumes: [{name: shared, emptyDir: {}}]
restartPolicy: Never
initContainers:
- name: sidecar
  image: WASM
  args: [answer, /shared]
  restartPolicy: Always
  volumeMounts: [{name: shared, mountPath: /shared}]
  startupProbe: {exec: {command: [/multi.wasm, ls, /shared]}, periodSeconds: 1}
containers:
- {name: app, image: TOOLS, args: [ask, /shared, me], volumeMounts: [{name: shared, mountPath: /shared}]}
`)
	pod := p.Phase(t, "Succeeded")
	if got := p.Logs(t, "app"); got != "answer to me\n" {
		t.Errorf("the sidecar has answered %q", got)
	}
	if end := pod.Container("sidecar").State.Terminated; end == nil || end.ExitCode != 143 {
		t.Errorf("the sidecar ended with %+v", pod.Container("sidecar").State)
	}
}

const deploymentYAML = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME}
spec:
  replicas: 3
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec:
      runtimeClassName: CLASS
      terminationGracePeriodSeconds: 5
      volumes: [{name: shared, emptyDir: {}}]
      containers:
      - {name: app, image: WASM, args: [answer, /shared], volumeMounts: [{name: shared, mountPath: /shared}]}
      - {name: sidecar, image: TOOLS, args: [serve, "8080"], volumeMounts: [{name: shared, mountPath: /shared}]}
`

// deployment has pods of a guest and a native sidecar that talk over a volume.
func deployment(t *testing.T, k cluster) {
	name := k.name("talkers")
	k.Create(t, "/apis/apps/v1/namespaces/default/deployments", k.object(deploymentYAML, name))
	k.Kubectl(t, "rollout", "status", "deployment/"+name, "--timeout=60s")
	pods := k.podsOf(t, "app="+name)
	if len(pods) != 3 {
		t.Fatalf("there are %d pods", len(pods))
	}
	for _, pod := range pods {
		got := k.Kubectl(t, "exec", pod.Metadata.Name, "-c", "sidecar", "--", "/toolbox", "ask", "/shared", pod.Metadata.Name)
		if want := "answer to " + pod.Metadata.Name + "\n"; got != want {
			t.Errorf("the guest of pod %s answers %q", pod.Metadata.Name, got)
		}
	}
	k.Kubectl(t, "delete", "pod", pods[0].Metadata.Name, "--wait=false")
	testenv.Eventually(t, "replacement of a deleted pod", func() error {
		now := k.podsOf(t, "app="+name)
		for _, pod := range now {
			if pod.Metadata.Name == pods[0].Metadata.Name || !pod.Is("Ready") {
				return fmt.Errorf("pod %s is %+v", pod.Metadata.Name, pod.Status)
			}
		}
		if len(now) != 3 {
			return fmt.Errorf("there are %d pods", len(now))
		}
		return nil
	})
}

// object fills in an object's name, the class and the images.
func (k cluster) object(yaml, name string) string {
	return fill(strings.NewReplacer("NAME", name, "CLASS", k.class).Replace(yaml))
}

func (k cluster) podsOf(t *testing.T, selector string) []testenv.Pod {
	t.Helper()
	var list struct{ Items []testenv.Pod }
	k.Get(t, "/api/v1/namespaces/default/pods?labelSelector="+selector, &list)
	return list.Items
}

const jobYAML = `
apiVersion: batch/v1
kind: Job
metadata: {name: NAME}
spec:
  backoffLimit: 0
  template:
    metadata: {labels: {app: NAME}}
    spec:
      runtimeClassName: CLASS
      restartPolicy: Never
      containers: [{name: app, image: WASM, args: ARGS}]
`

func (k cluster) startJob(t *testing.T, name, args string) {
	t.Helper()
	k.Create(t, "/apis/batch/v1/namespaces/default/jobs", strings.ReplaceAll(k.object(jobYAML, name), "ARGS", args))
}

func job(t *testing.T, k cluster) {
	name := k.name("works")
	k.startJob(t, name, "[echo, done]")
	k.Kubectl(t, "wait", "--for=condition=complete", "--timeout=60s", "job/"+name)
	if got := k.Kubectl(t, "logs", "job/"+name); got != "done\n" {
		t.Errorf("the job prints %q", got)
	}
}

func failedJob(t *testing.T, k cluster) {
	for _, test := range []struct {
		name, args string
		code       int
	}{
		{"exits", `[exit, "3"]`, 3},
		{"traps", "[trap]", 134},
	} {
		name := k.name(test.name)
		k.startJob(t, name, test.args)
		k.Kubectl(t, "wait", "--for=condition=failed", "--timeout=60s", "job/"+name)
		pods := k.podsOf(t, "app="+name)
		if len(pods) != 1 {
			t.Fatalf("job %s has %d pods", name, len(pods))
		}
		if end := pods[0].Container("app").State.Terminated; end == nil || end.ExitCode != test.code || end.Reason != "Error" {
			t.Errorf("the guest of job %s has the state %+v", name, pods[0].Container("app").State)
		}
		out := k.Kubectl(t, "describe", "pod", pods[0].Metadata.Name)
		if want := fmt.Sprintf("Exit Code:    %d\n", test.code); !strings.Contains(out, want) {
			t.Errorf("kubectl describe does not show %q:\n%s", want, out)
		}
	}
}

const cronJobYAML = `
apiVersion: batch/v1
kind: CronJob
metadata: {name: NAME}
spec:
  schedule: "SCHEDULE"
  concurrencyPolicy: Forbid
  jobTemplate:
    spec:
      backoffLimit: 0
      template:
        metadata: {labels: {app: NAME}}
        spec:
          runtimeClassName: CLASS
          restartPolicy: Never
          containers: [{name: app, image: WASM, args: [echo, done]}]
`

// cronJob is started by hand, as its schedule would.
func cronJob(t *testing.T, k cluster) {
	const path = "/apis/batch/v1/namespaces/default/cronjobs"
	name := k.name("regular")
	yaml := k.object(cronJobYAML, name)
	r := k.KubectlDo(t, strings.ReplaceAll(yaml, "SCHEDULE", "61 * * * *"), "create", "--validate=strict", "-f", "-")
	if r.Status == 0 || !strings.Contains(r.Stderr, "spec.schedule") {
		t.Errorf("with an impossible schedule: %+v", r)
	}
	k.Create(t, path, strings.ReplaceAll(yaml, "SCHEDULE", "0 0 1 1 *"))
	k.Kubectl(t, "create", "job", name+"-now", "--from=cronjob/"+name) // deleted with its owner
	k.Kubectl(t, "wait", "--for=condition=complete", "--timeout=60s", "job/"+name+"-now")
	if got := k.Kubectl(t, "logs", "job/"+name+"-now"); got != "done\n" {
		t.Errorf("the job prints %q", got)
	}
	if pods := k.podsOf(t, "app="+name); len(pods) != 1 || pods[0].Container("app").State.Terminated == nil {
		t.Errorf("the pods are %+v", pods)
	}
}
