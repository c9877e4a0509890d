package cgroup

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/cgroups/v3"
	"golang.org/x/sys/unix"
)

// parentOf is a parent cgroup of the test's own.
func parentOf(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	return fmt.Sprintf("group-test-%d-%d", os.Getpid(), time.Now().UnixNano())
}

func limited(t *testing.T, parent, name string, l Limits) *Group {
	t.Helper()
	g, err := New(parent, name, l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Remove(); err != nil {
			t.Error(err)
		}
		for _, dir := range g.dirs {
			if _, err := os.Stat(dir); err == nil {
				t.Errorf("%s is still there", dir)
			}
		}
	})
	return g
}

// member starts a shell script in the cgroup; it begins when it is there.
func member(t *testing.T, g *Group, script string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sh", "-c", "read go; "+script)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if err := g.Add(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write([]byte("go\n")); err != nil {
		t.Fatal(err)
	}
	_ = in.Close()
	return cmd
}

func signalOf(t *testing.T, cmd *exec.Cmd) syscall.Signal {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("it goes on")
	}
	return cmd.ProcessState.Sys().(syscall.WaitStatus).Signal()
}

func TestNewGroupLimitsItsMembers(t *testing.T) {
	t.Parallel()
	const limit = 32 << 20
	g := limited(t, parentOf(t), "one", Limits{Memory: limit, Threads: 7, Weight: 50})
	cmd := member(t, g, "exec sleep 60")
	c := of(t, cmd)
	if got := memoryLimit(t, c); got != limit {
		t.Errorf("memory is limited to %d, want %d", got, limit)
	}
	if pids, err := c.Pids(); err != nil || !slices.Contains(pids, cmd.Process.Pid) {
		t.Errorf("members are %v (%v)", pids, err)
	}
	for file, want := range map[string]string{"pids.max": "7", "../cpu.shares": "512", "../cpu.weight": "50"} {
		for _, dir := range g.dirs {
			if data, err := os.ReadFile(filepath.Join(dir, file)); err == nil && strings.TrimSpace(string(data)) != want {
				t.Errorf("%s is %s, want %s", file, data, want)
			}
		}
	}
}

func TestGroupThatNeedsTooMuchMemoryIsKilledAndCounted(t *testing.T) {
	t.Parallel()
	const limit = 16 << 20
	g := limited(t, parentOf(t), "one", Limits{Memory: limit})
	if kills, err := g.OOMKills(); err != nil || kills != 0 {
		t.Fatalf("%d kills (%v) before", kills, err)
	}
	if sig := signalOf(t, member(t, g, "exec "+takesMemory)); sig != unix.SIGKILL {
		t.Errorf("it ended by %v", sig)
	}
	if kills, err := g.OOMKills(); err != nil || kills == 0 {
		t.Errorf("%d kills (%v)", kills, err)
	}
	if peak := g.PeakMemory(); peak < limit/2 || peak > limit {
		t.Errorf("a peak of %d bytes", peak)
	}
}

func TestKillReachesEveryMember(t *testing.T) {
	t.Parallel()
	// v2, which the hybrid form has without controllers.
	unified := hierarchy{dir: filepath.Join(root, "unified"), unified: true, limits: none, parent: none}
	if cgroups.Mode() == cgroups.Unified {
		unified.dir = root
	}
	for name, in := range map[string][]hierarchy{"this host": hierarchies(), "v2": {unified}} {
		if _, err := os.Stat(in[0].dir); err != nil {
			continue
		}
		g, err := makeGroup(in, parentOf(t), "one", Limits{})
		if err != nil {
			t.Fatal(err)
		}
		first := member(t, g, "exec sleep 60")
		second := member(t, g, "sleep 60 & sleep 60")
		g.Kill()
		for _, cmd := range []*exec.Cmd{first, second} {
			if sig := signalOf(t, cmd); sig != unix.SIGKILL {
				t.Errorf("%s: it ended by %v", name, sig)
			}
		}
		third := member(t, g, "sleep 60 & sleep 60")
		if err := g.Remove(); err != nil { // kills as well
			t.Errorf("%s: %v", name, err)
		}
		if sig := signalOf(t, third); sig != unix.SIGKILL {
			t.Errorf("%s: it ended by %v", name, sig)
		}
		if _, err := os.Stat(filepath.Dir(g.dirs[0])); err == nil {
			t.Errorf("%s: the parent is still there", name)
		}
		if err := g.Remove(); err != nil {
			t.Errorf("%s: again: %v", name, err)
		}
	}
}

func TestGroupWithoutMemoryControllerIsAnError(t *testing.T) {
	t.Parallel()
	parent := parentOf(t)
	other := hierarchy{dir: filepath.Join(root, "unified"), unified: true, limits: v2Limits, parent: v2Parent}
	if _, err := os.Stat(other.dir); err != nil {
		t.Skip("needs the hybrid form")
	}
	g, err := makeGroup([]hierarchy{other}, parent, "one", Limits{Memory: 1 << 30})
	if err == nil || !strings.Contains(err.Error(), "/"+parent+"/one: ") || !strings.Contains(err.Error(), "memory.max") {
		t.Errorf("%v, %v", g, err)
	}
	if _, err := os.Stat(filepath.Join(other.dir, parent)); err == nil {
		t.Error("something is left")
	}
}

func TestSettingsOfVersion2(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, file := range []string{"memory.max", "memory.swap.max", "memory.oom.group", "pids.max", "cpu.weight"} {
		if err := os.WriteFile(filepath.Join(dir, file), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l := Limits{Memory: 1 << 30, Threads: 9, Weight: 20}
	if err := write(dir, append(v2Limits(l), v2Parent(l)...)); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		"memory.max": "1073741824", "memory.swap.max": "0", "memory.oom.group": "1", "pids.max": "9", "cpu.weight": "20",
	} {
		if data, err := os.ReadFile(filepath.Join(dir, file)); err != nil || string(data) != want {
			t.Errorf("%s is %q (%v), want %s", file, data, err, want)
		}
	}
	if settings := append(v2Limits(Limits{}), v2Parent(Limits{})...); len(settings) > 0 {
		t.Errorf("without limits: %v", settings)
	}
}

func TestSweepRemovesWhatKilledMakersLeft(t *testing.T) {
	t.Parallel()
	parent := parentOf(t)
	mine := limited(t, parent, "mine", Limits{Memory: 1 << 30})
	running := limited(t, parent, "running", Limits{Memory: 1 << 30})
	member(t, running, "exec sleep 60")
	left := limited(t, parent, "left", Limits{Memory: 1 << 30})
	Sweep(parent, func(name string) bool { return name == "mine" })
	for g, want := range map[*Group]bool{mine: true, running: true, left: false} {
		for _, dir := range g.dirs {
			if _, err := os.Stat(dir); (err == nil) != want {
				t.Errorf("%s: %v", dir, err)
			}
		}
	}
}

// Whoever makes a cgroup meets others that remove the parent, which is empty.
func TestGroupsOfOneParentComeAndGoAtOnce(t *testing.T) {
	t.Parallel()
	parent := parentOf(t)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for range 50 {
				g, err := New(parent, fmt.Sprint(i), Limits{Memory: 1 << 30, Weight: 20})
				if err != nil {
					t.Error(err)
					return
				}
				if err := g.Remove(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if _, err := os.Stat(filepath.Join(hierarchies()[0].dir, parent)); err == nil {
		t.Error("the parent is left")
	}
}
