package cgroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/cgroups/v3"
	cgroup1 "github.com/containerd/cgroups/v3/cgroup1/stats"
	cgroup2 "github.com/containerd/cgroups/v3/cgroup2/stats"
	"github.com/containerd/errdefs"
)

// patience for what takes milliseconds, and in an emulated machine of a busy host seconds.
const patience = 50 * time.Second

// group is a real cgroup of this host: one directory, or one per hierarchy.
type group struct {
	t    *testing.T
	dirs []string
}

// newGroup makes a cgroup with a memory limit in bytes. The test is skipped
// where that is not possible.
func newGroup(t *testing.T, limit int64) *group {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	g := &group{t: t}
	name := fmt.Sprintf("cgroup-test-%d-%d", os.Getpid(), time.Now().UnixNano())
	limits := map[string]string{"memory.max": strconv.FormatInt(limit, 10), "memory.swap.max": "0"}
	if cgroups.Mode() == cgroups.Unified {
		g.dirs = []string{filepath.Join("/sys/fs/cgroup", name)}
		enable("/sys/fs/cgroup")
	} else {
		limits = map[string]string{"memory.limit_in_bytes": limits["memory.max"]}
		for _, controller := range []string{"pids", "devices", "memory", "freezer", "cpu", "cpuacct"} {
			if _, err := os.Stat("/sys/fs/cgroup/" + controller); err == nil {
				g.dirs = append(g.dirs, filepath.Join("/sys/fs/cgroup", controller, name))
			}
		}
	}
	t.Cleanup(g.remove)
	for _, dir := range g.dirs {
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) { // cpu and cpuacct may be one
			t.Skipf("cannot make a cgroup here: %v", err)
		}
	}
	written := 0
	for _, dir := range g.dirs {
		for file, value := range limits {
			if os.WriteFile(filepath.Join(dir, file), []byte(value), 0) == nil {
				written++
			}
		}
	}
	if written == 0 {
		t.Skip("the memory controller is not at our disposal")
	}
	return g
}

func (g *group) remove() {
	for _, dir := range g.dirs {
		for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
			err := os.Remove(dir)
			if err == nil || errors.Is(err, os.ErrNotExist) {
				break
			}
			if time.Now().After(deadline) {
				g.t.Errorf("remove cgroup: %v", err)
				break
			}
		}
	}
}

// run starts a shell script in the cgroup; it begins when it is there.
func (g *group) run(script string) *exec.Cmd {
	g.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		g.t.Fatal(err)
	}
	defer w.Close()
	defer r.Close()
	cmd := exec.Command("sh", "-c", "read go; "+script)
	cmd.Stdin = r
	if err := cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for _, dir := range g.dirs {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(cmd.Process.Pid)), 0); err != nil {
			g.t.Fatal(err)
		}
	}
	if _, err := w.WriteString("go\n"); err != nil {
		g.t.Fatal(err)
	}
	return cmd
}

func of(t *testing.T, cmd *exec.Cmd) Cgroup {
	t.Helper()
	c, err := Of(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func memoryLimit(t *testing.T, c Cgroup) uint64 {
	t.Helper()
	switch m := decoded(t, c).(type) {
	case *cgroup1.Metrics:
		return m.GetMemory().GetUsage().GetLimit()
	case *cgroup2.Metrics:
		return m.GetMemory().GetUsageLimit()
	}
	t.Fatal("containerd knows no other")
	return 0
}

func TestFiguresAreThoseOfTheProcessesCgroup(t *testing.T) {
	t.Parallel()
	const limit = 64 << 20
	g := newGroup(t, limit)
	cmd := g.run("exec sleep 60")
	c := of(t, cmd)
	if !slices.Contains(g.dirs, c.Path()) {
		t.Errorf("it is in %s, not in one of %s", c.Path(), g.dirs)
	}
	if got := memoryLimit(t, c); got != limit {
		t.Errorf("limit is %d, want %d", got, limit)
	}
	pids, err := c.Pids()
	if err != nil || !slices.Equal(pids, []int{cmd.Process.Pid}) {
		t.Errorf("pids are %v (%v), want %d", pids, err, cmd.Process.Pid)
	}
}

func TestFiguresOutliveTheProcessesButNotTheCgroup(t *testing.T) {
	t.Parallel()
	const limit = 64 << 20
	g := newGroup(t, limit)
	cmd := g.run("exec sleep 60")
	c := of(t, cmd)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if got := memoryLimit(t, c); got != limit {
		t.Errorf("limit is %d, want %d", got, limit)
	}
	if pids, err := c.Pids(); err != nil || len(pids) != 0 {
		t.Errorf("pids are %v (%v)", pids, err)
	}
	g.remove()
	if m, err := c.Stats(); !errdefs.IsNotFound(err) {
		t.Errorf("figures of a removed cgroup: %v, %v", m, err)
	}
	if pids, err := c.Pids(); !errdefs.IsNotFound(err) {
		t.Errorf("pids of a removed cgroup: %v, %v", pids, err)
	}
}

func TestMembersOfCgroupsBelowCount(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 64<<20)
	parent := g.run("exec sleep 60")
	below := &group{t: t}
	for _, dir := range g.dirs {
		below.dirs = append(below.dirs, filepath.Join(dir, "below"))
	}
	for _, dir := range below.dirs {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(below.remove)
	child := below.run("exec sleep 60")
	pids, err := of(t, parent).Pids()
	want := []int{parent.Process.Pid, child.Process.Pid}
	slices.Sort(want)
	slices.Sort(pids)
	if err != nil || !slices.Equal(pids, want) {
		t.Errorf("pids are %v (%v), want %v", pids, err, want)
	}
}

// tail(1) keeps a line that never ends in memory.
const takesMemory = "tail /dev/zero"

func TestOutOfMemoryKillIsCountedAndTold(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 16<<20)
	// The shell stays, or the cgroup would be empty, which is another event.
	cmd := g.run(takesMemory + "; while :; do sleep 0.02; done")
	c := of(t, cmd)
	told := make(chan struct{}, 1)
	if err := c.WatchOOM(t.Context(), func() {
		select {
		case told <- struct{}{}:
		default:
		}
	}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		kills, err := c.OOMKills()
		if err != nil {
			t.Fatal(err)
		}
		if kills > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no kill is counted")
		}
	}
	select {
	case <-told:
	case <-time.After(patience):
		t.Error("nobody is told")
	}
}

func TestWatchEndsWithItsContextAndItsCgroup(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 64<<20)
	cmd := g.run("exec sleep 60")
	c := of(t, cmd)
	var calls atomic.Int32
	ctx, cancel := context.WithCancel(t.Context())
	if err := c.WatchOOM(ctx, func() { calls.Add(1) }); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := c.WatchOOM(t.Context(), func() {}); err != nil { // another one, until the cgroup's end
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	g.remove()
	if n := calls.Load(); n != 0 {
		t.Errorf("told %d times after the end of the context", n)
	}
}

func TestProcessThatIsGoneHasNoCgroup(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if c, err := Of(cmd.Process.Pid); err == nil {
		t.Errorf("got %s", c.Path())
	}
}
