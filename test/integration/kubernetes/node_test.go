package kubernetes

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// sandbox looks at what holds a pod together: a container of the pause image, or
// only a sandbox of our shim's own.
func sandbox(t *testing.T, k cluster) {
	p := k.pod(t, sleeper)
	p.Ready(t)
	id := k.sandboxID(t, p)
	containers, err := k.Ctr("containers", "list").Output()
	if err != nil {
		t.Fatal(err)
	}
	if paused := strings.Contains(string(containers), id); paused != (k.class == testenv.RuntimeClass) {
		t.Errorf("the sandbox is a container: %t\n%s", paused, containers)
	}
	var shims int
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range processes {
		data, err := os.ReadFile(path)
		if err == nil && strings.HasPrefix(string(data), "containerd-shim-wazero-v1\x00") && strings.Contains(string(data), id) {
			shims++
		}
	}
	if shims != 1 {
		t.Errorf("the pod has %d shims", shims)
	}
}

// sandboxID is the name of a pod in containerd.
func (k cluster) sandboxID(t *testing.T, p *testenv.LivePod) string {
	t.Helper()
	out, err := k.Crictl("pods", "--quiet", "--no-trunc", "--name", "^"+p.Name+"$", "--state", "Ready").Output()
	if id := strings.TrimSpace(string(out)); err == nil && len(id) == 64 {
		return id
	}
	t.Fatalf("crictl shows the sandboxes %q (%v)", out, err)
	return ""
}

// podStats are the parts of the kubelet's summary that autoscalers and kubectl
// top use.
type podStats struct {
	PodRef     struct{ Name string }
	CPU        struct{ UsageNanoCores int64 }
	Memory     struct{ WorkingSetBytes int64 }
	Network    struct{ RxBytes int64 }
	Containers []struct {
		Name   string
		CPU    struct{ UsageNanoCores, UsageCoreNanoSeconds int64 }
		Memory struct{ WorkingSetBytes, RSSBytes int64 }
	}
}

// stats are right for a guest that holds memory and for one that spins, in the
// kubelet's summary and in the metrics from which kubectl top comes.
func stats(t *testing.T, k cluster) {
	p := k.pod(t, `
containers:
- {name: holds, image: WASM, args: [alloc, "64", hold]}
- {name: spins, image: WASM, args: [spin], resources: {limits: {cpu: 200m}}}
`)
	p.WaitLog(t, "holds", "allocated 64 MiB")
	first := map[[2]string]sample{}
	testenv.EventuallyWithin(t, testenv.Slow(time.Minute), "right figures of kubectl top", func() error {
		time.Sleep(300 * time.Millisecond) // they change every ten seconds
		return k.checkTop(t, p, first)
	})
	testenv.EventuallyWithin(t, testenv.Slow(time.Minute), "right figures in the kubelet's summary", func() error {
		var summary struct{ Pods []podStats }
		k.Get(t, "/api/v1/nodes/"+testenv.Node+"/proxy/stats/summary", &summary)
		for _, pod := range summary.Pods {
			if pod.PodRef.Name == p.Name {
				return checkStats(pod)
			}
		}
		return fmt.Errorf("the pod is not among %d", len(summary.Pods))
	})
	out, err := k.Crictl("stats", "--output", "table").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "holds") || !strings.Contains(string(out), "spins") {
		t.Errorf("crictl stats: %v\n%s", err, out)
	}
}

// sample is a line of the kubelet's metrics.
type sample struct {
	value float64
	at    int64 // milliseconds
}

// resourceMetrics are what the metrics API, and so kubectl top and autoscalers, is
// made of, by metric and container; pods have the container "".
func (k cluster) resourceMetrics(t *testing.T, p *testenv.LivePod) map[[2]string]sample {
	t.Helper()
	text, err := k.Read("/api/v1/nodes/" + testenv.Node + "/proxy/metrics/resource")
	if err != nil {
		t.Fatal(err)
	}
	all := map[[2]string]sample{}
	pattern := regexp.MustCompile(`(?m)^(\w+)\{(?:container="(\w+)",)?namespace="default",pod="` + regexp.QuoteMeta(p.Name) + `"\} (\S+) (\d+)$`)
	for _, m := range pattern.FindAllStringSubmatch(text, -1) {
		value, errValue := strconv.ParseFloat(m[3], 64)
		at, errAt := strconv.ParseInt(m[4], 10, 64)
		if errValue != nil || errAt != nil {
			t.Fatalf("the kubelet has the metric %q", m[0])
		}
		all[[2]string{m[1], m[2]}] = sample{value, at}
	}
	return all
}

// checkTop looks at the kubelet's metrics of that pod: memory, and processor time
// since the first sample of each metric.
func (k cluster) checkTop(t *testing.T, p *testenv.LivePod, first map[[2]string]sample) error {
	t.Helper()
	now := k.resourceMetrics(t, p)
	for _, key := range [][2]string{{"container_memory_working_set_bytes", "holds"}, {"pod_memory_working_set_bytes", ""}} {
		if got := now[key].value; got < 64<<20 || got > 256<<20 {
			return fmt.Errorf("%q are %g", key, got)
		}
	}
	for _, key := range [][2]string{{"container_cpu_usage_seconds_total", "spins"}, {"pod_cpu_usage_seconds_total", ""}} {
		begin, end := first[key], now[key]
		if begin.at == 0 {
			first[key] = end
			return fmt.Errorf("of %q there is only one sample", key)
		}
		cores := (end.value - begin.value) / float64(end.at-begin.at) * 1000
		if end.at-begin.at < 3000 || cores < 0.05 || cores > 0.3 {
			return fmt.Errorf("from %q come %g cores, with a limit of 0.2: %+v, %+v", key, cores, begin, end)
		}
	}
	return nil
}

func checkStats(pod podStats) error {
	if len(pod.Containers) != 2 {
		return fmt.Errorf("there are %d containers", len(pod.Containers))
	}
	for _, c := range pod.Containers {
		switch {
		case c.Name == "holds" && (c.Memory.WorkingSetBytes < 64<<20 || c.Memory.WorkingSetBytes > 256<<20):
			return fmt.Errorf("the guest with 64 MiB has a working set of %d bytes", c.Memory.WorkingSetBytes)
		case c.Name == "spins" && (c.CPU.UsageNanoCores < 50e6 || c.CPU.UsageNanoCores > 300e6):
			return fmt.Errorf("the guest that spins in a limit of 200m uses %d nanocores", c.CPU.UsageNanoCores)
		}
	}
	if pod.Memory.WorkingSetBytes < 64<<20 || pod.CPU.UsageNanoCores < 50e6 {
		return fmt.Errorf("the pod uses %d bytes and %d nanocores", pod.Memory.WorkingSetBytes, pod.CPU.UsageNanoCores)
	}
	return nil
}

// neighbours are a pod of guests and a pod of the node's default runtime, which
// reach each other over the network.
func neighbours(t *testing.T, k cluster) {
	normal := k.StartNamedPod(t, k.name("normal"), "", fill(`
containers:
- {name: app, image: TOOLS, args: [serve, "8080"]}
`))
	wasm := k.pod(t, `
containers:
- {name: app, image: WASM, args: [sleep]}
- {name: server, image: TOOLS, args: [serve, "8080"]}
`)
	for _, pair := range []struct {
		from, to  *testenv.LivePod
		container string
	}{{wasm, normal, "server"}, {normal, wasm, "app"}} {
		pair.from.Ready(t)
		url := "http://" + pair.to.Ready(t).Status.PodIP + ":8080/"
		testenv.Eventually(t, "answer of the other pod", func() error {
			if r := pair.from.Exec(t, pair.container, "/toolbox", "get", url); r.Stdout != "hello from "+pair.to.Name+"\n" {
				return fmt.Errorf("%+v", r)
			}
			return nil
		})
	}
}
