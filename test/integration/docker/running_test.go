package docker

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

func execModule(t *testing.T, d *testenv.Docker) {
	c := d.RunDetached(t, image, "sleep")
	r := d.Do(t, "", "exec", "--env", "A=B", c.Name, "/multi.wasm", "env")
	if r.Status != 0 || !strings.Contains(r.Stdout, "A=B\n") {
		t.Errorf("exec of env: %+v", r)
	}
	if r := d.Do(t, "in\n", "exec", "--interactive", c.Name, "tool", "cat"); r.Stdout != "in\n" {
		t.Errorf("exec of a module on PATH, with stdin: %+v", r)
	}
	if r := d.Do(t, "", "exec", c.Name, "/multi.wasm", "exit", "7"); r.Status != 7 {
		t.Errorf("exec of exit 7: %+v", r)
	}
	if got := c.Inspect(t, "{{.State.Status}}"); got != "running" {
		t.Errorf("the container is %s after its execs", got)
	}
}

func execMissing(t *testing.T, d *testenv.Docker) {
	c := d.RunDetached(t, image, "sleep")
	if r := d.Do(t, "", "exec", c.Name, "/missing.wasm"); r.Status != 127 {
		t.Errorf("exec of a missing module: %+v", r)
	}
	if r := d.Do(t, "", "exec", c.Name, "/bin"); r.Status != 126 {
		t.Errorf("exec of a directory: %+v", r)
	}
	if got := c.Inspect(t, "{{.State.Status}}"); got != "running" {
		t.Errorf("the container is %s after failed execs", got)
	}
}

func top(t *testing.T, d *testenv.Docker) {
	c := d.RunDetached(t, image, "sleep")
	c.WaitLog(t, "sleeping")
	out := d.Docker(t, "top", c.Name, "-o", "pid,args")
	lines := strings.Split(out, "\n")
	if len(lines) != 2 || !strings.Contains(lines[1], c.Pid(t)) || !strings.Contains(lines[1], "/multi.wasm sleep") {
		t.Errorf("docker top prints:\n%s", out)
	}
}

func stats(t *testing.T, d *testenv.Docker) {
	c := d.RunDetached(t, "--memory", "512m", image, "alloc", "64", "hold")
	c.WaitLog(t, "allocated 64 MiB")
	s := readStats(t, d, c)
	if s.memory < 64<<20 || s.memory > 512<<20 || s.limit != 512<<20 || s.pids < 1 {
		t.Errorf("of a guest with 64 MiB in a limit of 512 MiB docker stats says %+v", s)
	}
	busy := d.RunAnother(t, "busy", image, "spin")
	busy.WaitLog(t, "spinning")
	testenv.Eventually(t, "CPU use of a guest that spins", func() error {
		if s := readStats(t, d, busy); s.cpu < 10 || s.cpu > 250 {
			return fmt.Errorf("docker stats says %+v", s)
		}
		return nil
	})
}

type statsLine struct {
	cpu           float64 // percent of one CPU
	memory, limit int64   // bytes
	pids          int
}

func readStats(t *testing.T, d *testenv.Docker, c *testenv.Container) statsLine {
	t.Helper()
	var raw struct{ CPUPerc, MemUsage, PIDs string }
	out := d.Docker(t, "stats", "--no-stream", "--format", "json", c.Name)
	if err := json.Unmarshal([]byte(out), &raw); err != nil {
		t.Fatalf("docker stats prints %q: %v", out, err)
	}
	var s statsLine
	var err error
	if s.cpu, err = strconv.ParseFloat(strings.TrimSuffix(raw.CPUPerc, "%"), 64); err != nil {
		t.Fatal(err)
	}
	use, limit, _ := strings.Cut(raw.MemUsage, " / ")
	s.memory, s.limit = parseSize(t, use), parseSize(t, limit)
	if s.pids, err = strconv.Atoi(raw.PIDs); err != nil {
		t.Fatal(err)
	}
	return s
}

// parseSize reads "64.5MiB".
func parseSize(t *testing.T, s string) int64 {
	t.Helper()
	for _, u := range []struct {
		suffix string
		size   float64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}} {
		if number, ok := strings.CutSuffix(s, u.suffix); ok {
			n, err := strconv.ParseFloat(number, 64)
			if err != nil {
				t.Fatal(err)
			}
			return int64(n * u.size)
		}
	}
	t.Fatalf("no size: %q", s)
	return 0
}

func pause(t *testing.T, d *testenv.Docker) {
	c := d.RunDetached(t, image, "tick")
	c.WaitLog(t, "tick 2\n")
	d.Docker(t, "pause", c.Name)
	if got := c.Inspect(t, "{{.State.Status}}"); got != "paused" {
		t.Errorf("status is %s, want paused", got)
	}
	time.Sleep(200 * time.Millisecond) // what was on its way to the log
	before := c.Logs(t).Stdout
	time.Sleep(500 * time.Millisecond)
	if after := c.Logs(t).Stdout; after != before {
		t.Errorf("a paused guest printed %q", strings.TrimPrefix(after, before))
	}
	d.Docker(t, "unpause", c.Name)
	testenv.Eventually(t, "output after unpause", func() error {
		if len(c.Logs(t).Stdout) == len(before) {
			return fmt.Errorf("nothing")
		}
		return nil
	})
}

func update(t *testing.T, d *testenv.Docker) {
	c := d.RunDetached(t, "--memory", "256m", image, "sleep")
	c.WaitLog(t, "sleeping")
	d.Docker(t, "update", "--memory", "300m", "--memory-swap", "300m", c.Name)
	if got := cgroupValue(t, c, "memory", "memory.limit_in_bytes", "memory.max"); got != strconv.Itoa(300<<20) {
		t.Errorf("memory limit is %s after docker update", got)
	}
}

// cgroupValue reads a file of the container's cgroup, by the name that it has
// in the hierarchy of a v1 controller or in v2.
func cgroupValue(t *testing.T, c *testenv.Container, controller, v1, v2 string) string {
	t.Helper()
	hierarchy, name := cgroupOf(t, c.Pid(t), controller), v1
	if hierarchy == "" {
		hierarchy, name = cgroupOf(t, c.Pid(t), ""), v2
	}
	value, err := os.ReadFile(filepath.Join(hierarchy, name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(value))
}

// cgroupOf returns the directory of a process's cgroup in the hierarchy of a v1
// controller, or in v2 for "". It is empty if there is no such hierarchy.
func cgroupOf(t *testing.T, pid, controller string) string {
	t.Helper()
	var path string
	for _, line := range readLines(t, "/proc/"+pid+"/cgroup") {
		// "4:cpu,cpuacct:/x" is v1, "0::/x" is v2.
		parts := strings.SplitN(line, ":", 3)
		if slices.Contains(strings.Split(parts[1], ","), controller) {
			path = parts[2]
		}
	}
	if path == "" {
		return ""
	}
	fstype := "cgroup"
	if controller == "" {
		fstype = "cgroup2"
	}
	for _, line := range readLines(t, "/proc/self/mountinfo") {
		// "id parent dev root mountpoint … - type source options", proc(5). In a
		// container the mounted root is not that of the hierarchy.
		before, after, _ := strings.Cut(line, " - ")
		mount, fs := strings.Fields(before), strings.Fields(after)
		if fs[0] == fstype && (controller == "" || slices.Contains(strings.Split(fs[2], ","), controller)) {
			if rel, err := filepath.Rel(mount[3], path); err == nil && filepath.IsLocal(rel) {
				return filepath.Join(mount[4], rel)
			}
		}
	}
	return ""
}

func readLines(t *testing.T, path string) []string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(data)), "\n")
}

func cpus(t *testing.T, d *testenv.Docker) {
	c := d.RunDetached(t, "--cpus", "0.5", image, "sleep")
	c.WaitLog(t, "sleeping")
	if got := cgroupValue(t, c, "cpu", "cpu.cfs_quota_us", "cpu.max"); got != "50000" && got != "50000 100000" {
		t.Errorf("CPU quota is %s", got)
	}
}

func pidsLimit(t *testing.T, d *testenv.Docker) {
	c := d.RunDetached(t, "--pids-limit", "64", image, "sleep")
	c.WaitLog(t, "sleeping")
	if got := cgroupValue(t, c, "pids", "pids.max", "pids.max"); got != "64" {
		t.Errorf("limit of processes is %s", got)
	}
}

func memory(t *testing.T, d *testenv.Docker) {
	c := d.RunDetached(t, "--memory", "128m", image, "alloc", "512")
	c.WaitFor(t, "{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}}", "exited 137 true")
	enough := d.RunAnother(t, "enough", "--memory", "256m", image, "alloc", "32")
	enough.WaitFor(t, "{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}}", "exited 0 false")
}

func cp(t *testing.T, d *testenv.Docker) {
	c := d.RunDetached(t, image, "sleep")
	file := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(file, []byte("copied in\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	d.Docker(t, "cp", file, c.Name+":/work/in")
	if r := d.Do(t, "", "exec", c.Name, "/multi.wasm", "read", "/work/in"); r.Stdout != "copied in\n" {
		t.Errorf("the guest reads %+v", r)
	}
	if r := d.Do(t, "", "exec", c.Name, "/multi.wasm", "write", "/work/out", "made by the guest"); r.Status != 0 {
		t.Errorf("the guest writes: %+v", r)
	}
	d.Docker(t, "cp", c.Name+":/work/out", file)
	if data, err := os.ReadFile(file); err != nil || string(data) != "made by the guest\n" {
		t.Errorf("copied out: %q, %v", data, err)
	}
}
