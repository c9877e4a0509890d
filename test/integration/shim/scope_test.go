package shim

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/isolated"
)

// scope is a unit, and where its cgroup is.
type scope struct{ unit, dir string }

// inScope makes systemd make the container's cgroup.
func (c *container) inScope() scope {
	c.t.Helper()
	slice := "shimtest-" + filepath.Base(c.dir) + ".slice"
	c.spec.Linux.CgroupsPath = slice + ":shim:" + c.id
	c.spec.Linux.Resources = scopeLimits(64<<20, 20_000)
	s := scope{unit: "shim-" + c.id + ".scope"}
	s.dir = filepath.Join("/sys/fs/cgroup/shimtest.slice", slice, s.unit)
	c.t.Cleanup(func() { requireNoUnit(c.t, s) })
	return s
}

func scopeLimits(memory, quota int64) *specs.LinuxResources {
	period, pids := uint64(100_000), int64(77)
	return &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: &memory, Swap: &memory},
		CPU:    &specs.LinuxCPU{Quota: &quota, Period: &period},
		Pids:   &specs.LinuxPids{Limit: &pids},
	}
}

func requireNoUnit(t testing.TB, s scope) {
	t.Helper()
	if left := systemctl(t, "list-units", "--all", "--plain", "--no-legend", s.unit); left != "" {
		t.Errorf("systemd has %s", left)
	}
	if _, err := os.Stat(s.dir); err == nil {
		t.Errorf("%s is left", s.dir)
	}
}

func requireLimits(t testing.TB, s scope, want map[string]string) {
	t.Helper()
	got := map[string]string{}
	for file := range want {
		data, err := os.ReadFile(filepath.Join(s.dir, file))
		must(t, err)
		got[file] = strings.TrimSpace(string(data))
	}
	if !maps.Equal(got, want) {
		t.Errorf("the limits are %v, want %v", got, want)
	}
}

func systemctl(t testing.TB, args ...string) string {
	t.Helper()
	out, err := exec.Command("systemctl", args...).CombinedOutput()
	if err != nil {
		t.Errorf("systemctl %s: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// TestScopes is the life of containers whose cgroups systemd makes, without runc.
func TestScopes(t *testing.T) {
	if !isolated.UnderSystemd() {
		t.Skip("systemd does not make the cgroups here")
	}
	d := newDaemon(t, v3)

	c := d.container("c", multiWasm, "sleep")
	s := c.inScope()
	c.run()
	if !strings.Contains(c.log.String(), "launcher=direct") {
		t.Errorf("the log is %s", c.log)
	}
	first := map[string]string{"memory.max": "67108864", "memory.swap.max": "0", "cpu.max": "20000 100000", "pids.max": "77"}
	requireLimits(t, s, first)
	systemctl(t, "daemon-reload")
	requireLimits(t, s, first)
	must(t, c.update(scopeLimits(123<<20, 25_500)))
	after := map[string]string{"memory.max": "128974848", "memory.swap.max": "0", "cpu.max": "26000 100000", "pids.max": "77"} // whole percents
	requireLimits(t, s, after)
	systemctl(t, "daemon-reload")
	requireLimits(t, s, after)
	must(t, c.pause())
	must(t, c.resume())
	c.execRun("e", stdio{}, multiWasm, "exit", "7")
	if status := c.exitStatus("e"); status != 7 {
		t.Errorf("the exec's status is %d", status)
	}
	must(t, c.kill("", syscall.SIGKILL))
	c.exitStatus("")
	must(t, second(c.delete("")))
	requireNoUnit(t, s)

	hungry := d.container("hungry", multiWasm, "alloc", "256")
	hungry.inScope()
	if status := hungry.ended().exitStatus(""); status != 137 {
		t.Errorf("the status of the one that is hungry is %d", status)
	}
	d.events.await(t, "hungry", "create", "start", "oom", "exit 137")

	// The delete helper finds what a dead shim has left.
	orphan := d.container("orphan", multiWasm, "spin")
	s = orphan.inScope()
	orphan.run()
	pid := orphan.shimPid()
	must(t, syscall.Kill(pid, syscall.SIGKILL))
	awaitGone(t, pid)
	must(t, second(d.cleanUp(orphan)))
	requireNoUnit(t, s)
	orphan.client.Close()
	orphan.client = nil

	// Not more of it is left when it cannot be.
	bad := d.container("bad", multiWasm, "sleep")
	s = bad.inScope()
	bad.spec.Process.Args[0] = textFile
	bad.connect()
	if err := second(bad.create()); err == nil {
		t.Error("it was created")
	}
	requireNoUnit(t, s)
}
