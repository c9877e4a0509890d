package compiled

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/pkg/oci"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// TestSmallContainersRunLargeModules: the compiler takes several times the memory
// and the CPU time that these containers may have.
func TestSmallContainersRunLargeModules(t *testing.T) {
	const (
		memory = 128 << 20
		quota  = 20_000 // of a period of 100 000 µs
		// mostCPU is far less than compiling takes, and more than loading does.
		mostCPU = 1500 * time.Millisecond
	)
	for name, tc := range map[string]struct {
		data []byte
		args []string
		want string
	}{
		"CPython": {cpython(t), []string{"-c", "print(sum(range(101)))"}, "5050\n"},
		"esbuild": {esbuild(t), []string{"--version"}, "0.27.2\n"},
	} {
		t.Run(name, func(t *testing.T) {
			c := testenv.StartContainerd(t, testenv.Newest)
			img := module("big", tc.data)
			c.Import(t, img)
			k := c.Run(t, testenv.Spec{
				ID: "c", Image: img, Args: append([]string{"/big.wasm"}, tc.args...),
				Opts: []oci.SpecOpts{oci.WithMemoryLimit(memory), oci.WithCPUCFS(quota, 100_000)},
			})
			status := k.ExitStatus(t)
			k.IO().Wait() // all that it has printed
			// The cgroup is there until Delete.
			peak, cpu := used(t, c, "c")
			s := started(t, c, "c")
			t.Logf("peak %.1f MiB, CPU %s; %v", float64(peak)/(1<<20), cpu.Round(time.Millisecond), s)
			if status != 0 || k.Stdout.String() != tc.want {
				t.Errorf("status %d, output %q, errors %q", status, k.Stdout.String(), k.Stderr.String())
			}
			if s["outcome"] != "compiled" {
				t.Errorf("it was not compiled: %v", s)
			}
			if cpu > mostCPU {
				t.Errorf("the container was charged %s of CPU time", cpu)
			}
			if peak > memory {
				t.Errorf("the container was charged %d bytes", peak)
			}
			k.Finish(t)
		})
	}
}

// used reads what the cgroup of a container was charged.
func used(t *testing.T, c *testenv.Containerd, id string) (peak int64, cpu time.Duration) {
	t.Helper()
	v2 := filepath.Join("/sys/fs/cgroup", c.Namespace, id)
	if _, err := os.Stat(filepath.Join(v2, "cgroup.controllers")); err == nil {
		for line := range strings.Lines(read(t, v2+"/cpu.stat")) {
			var µs int64
			if n, _ := fmt.Sscanf(line, "usage_usec %d", &µs); n == 1 {
				cpu = time.Duration(µs) * time.Microsecond
			}
		}
		return number(t, v2+"/memory.peak"), cpu
	}
	path := func(controller, file string) string {
		return filepath.Join("/sys/fs/cgroup", controller, c.Namespace, id, file)
	}
	return number(t, path("memory", "memory.max_usage_in_bytes")), time.Duration(number(t, path("cpuacct", "cpuacct.usage")))
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func number(t *testing.T, path string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(strings.TrimSpace(read(t, path)), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
