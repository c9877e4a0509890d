package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/cgroupfs"
)

// patience for what takes milliseconds.
const patience = 10 * time.Second

// layouts are that of this host, and a v2 one, which the hybrid form has without
// controllers.
func layouts(t *testing.T) map[string]*cgroupfs.Layout {
	t.Helper()
	l, err := host()
	if err != nil || os.Getuid() != 0 {
		t.Skipf("needs root and cgroups in their usual places: %v", err)
	}
	found := map[string]*cgroupfs.Layout{"this host": l}
	if !l.V2 && l.Unified != "" {
		found["v2"] = &cgroupfs.Layout{Hierarchies: []cgroupfs.Hierarchy{{Root: l.Unified}}, Unified: l.Unified, V2: true}
	}
	return found
}

// pathFor is a cgroup of the test's own, the parent of which is not there either.
func pathFor(t *testing.T) string {
	t.Helper()
	name := fmt.Sprintf("container-test-%d-%d", os.Getpid(), time.Now().UnixNano())
	t.Cleanup(func() {
		dirs, _ := filepath.Glob("/sys/fs/cgroup/*/" + name)
		if v2 := "/sys/fs/cgroup/" + name; len(dirs) == 0 {
			dirs = []string{v2}
		}
		for _, dir := range dirs {
			for _, left := range cgroupfs.Tree(dir) {
				if strings.HasSuffix(left, "/id") {
					t.Errorf("%s is left", left)
				}
			}
			if err := cgroupfs.Remove(dir); err != nil {
				t.Error(err)
			}
		}
	})
	return "/" + name + "/pod/" + "id"
}

func created(t *testing.T, l *cgroupfs.Layout, path, resources string) *Cgroup {
	t.Helper()
	c, err := create(l, path, read(t, resources))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for range 2 {
			if err := c.Remove(); err != nil {
				t.Error(err)
			}
		}
		for _, dir := range c.dirs() {
			if _, err := os.Stat(dir); err == nil {
				t.Errorf("%s is left", dir)
			}
		}
	})
	return c
}

// member runs a shell script in the cgroup.
func member(t *testing.T, c *Cgroup, script string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sh", "-c", "read go; "+script)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if fd, ok := c.FD(); ok {
		defer fd.Close()
		cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(fd.Fd())}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Thaw(context.Background())
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if err := c.Add(cmd.Process.Pid); err != nil {
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

func await(t *testing.T, what string, happened func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !happened(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

func TestMembersAreInEveryHierarchy(t *testing.T) {
	t.Parallel()
	for name, l := range layouts(t) {
		c := created(t, l, pathFor(t), `{}`)
		cmd := member(t, c, "exec sleep 60")
		for _, dir := range c.dirs() {
			if got := cgroupfs.Members(dir); !slices.Equal(got, []int{cmd.Process.Pid}) {
				t.Errorf("%s: members of %s are %v", name, dir, got)
			}
		}
		checkInside(t, name, c, cmd.Process.Pid)
	}
}

// checkInside looks at it from the process's side.
func checkInside(t *testing.T, name string, c *Cgroup, pid int) {
	t.Helper()
	own, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(own)) {
		unified := strings.HasPrefix(line, "0::")
		if in := strings.HasSuffix(line, ":"+c.path+"\n"); !in && (unified || !c.layout.V2) {
			t.Errorf("%s: it is in %s", name, line)
		}
	}
}

func TestKillReachesAllAlsoFrozen(t *testing.T) {
	t.Parallel()
	for name, l := range layouts(t) {
		c := created(t, l, pathFor(t), `{}`)
		first := member(t, c, "exec sleep 60")
		second := member(t, c, "sleep 60 & sleep 60 & wait")
		if err := c.Kill(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, cmd := range []*exec.Cmd{first, second} {
			if sig := signalOf(t, cmd); sig != unix.SIGKILL {
				t.Errorf("%s: it ended by %v", name, sig)
			}
		}
		// A new one, for Linux 6.18 kills what is cloned into a cgroup that was
		// killed once.
		c = created(t, l, pathFor(t), `{}`)
		third := member(t, c, "exec sleep 60")
		if err := c.Freeze(t.Context()); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := c.Kill(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if sig := signalOf(t, third); sig != unix.SIGKILL {
			t.Errorf("%s: it ended by %v", name, sig)
		}
	}
}

// A member that makes others as fast as it can gets away from a list of members.
func TestKillEndsForks(t *testing.T) {
	t.Parallel()
	l := layouts(t)["this host"]
	if !l.V2 { // without cgroup.kill
		l = &cgroupfs.Layout{Hierarchies: slices.DeleteFunc(slices.Clone(l.Hierarchies), func(h cgroupfs.Hierarchy) bool { return h.Root == l.Unified })}
	}
	c := created(t, l, pathFor(t), `{"pids":{"limit":50}}`)
	cmd := member(t, c, "f() { sleep 0.01; f & f & }; f 2>/dev/null; sleep 60")
	await(t, "members", func() bool { return len(cgroupfs.Members(c.dirs()[0])) > 10 })
	if err := c.Kill(); err != nil {
		t.Error(err)
	}
	if sig := signalOf(t, cmd); sig != unix.SIGKILL {
		t.Errorf("it ended by %v", sig)
	}
	await(t, "the end of all", func() bool { return len(cgroupfs.Members(c.dirs()[0])) == 0 })
}

func TestRemoveKills(t *testing.T) {
	t.Parallel()
	for name, l := range layouts(t) {
		c := created(t, l, pathFor(t), `{}`)
		cmd := member(t, c, "sleep 60 & sleep 60")
		again := &Cgroup{layout: l, path: c.path} // the delete helper's
		if err := again.Remove(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if sig := signalOf(t, cmd); sig != unix.SIGKILL {
			t.Errorf("%s: it ended by %v", name, sig)
		}
	}
}

func TestFrozenMembersStandStill(t *testing.T) {
	t.Parallel()
	for name, l := range layouts(t) {
		c := created(t, l, pathFor(t), `{}`)
		file := filepath.Join(t.TempDir(), "count")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		member(t, c, "while :; do printf x >> "+file+"; done")
		size := func() int64 {
			info, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			return info.Size()
		}
		grows := func(from int64) { await(t, name+": it runs", func() bool { return size() > from }) }
		grows(0)
		for range 3 {
			if err := c.Freeze(t.Context()); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			before := size()
			time.Sleep(20 * time.Millisecond)
			if after := size(); after != before {
				t.Errorf("%s: it runs on while it is frozen", name)
			}
			if _, err := create(l, c.path, nil); err == nil {
				t.Errorf("%s: a container was made in its cgroup", name)
			}
			if fd, ok := c.FD(); ok && l.V2 {
				t.Errorf("%s: who clones into it would wait", name)
				fd.Close()
			}
			if err := c.Thaw(t.Context()); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			grows(before)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		before := size()
		if err := c.Freeze(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		} else if err != nil {
			grows(before) // it is not left frozen
		}
	}
}

// To ask for it is not enough: it takes a while.
func TestFreezeReturnsWhenAllStand(t *testing.T) {
	t.Parallel()
	for name, l := range layouts(t) {
		c := created(t, l, pathFor(t), `{}`)
		for range 4 {
			member(t, c, "while :; do :; done")
		}
		file, want := l.Dir("freezer", c.path)+"/freezer.state", string(frozen)
		if l.V2 {
			file, want = l.Unified+c.path+"/cgroup.events", "frozen 1"
		}
		for range 20 {
			time.Sleep(time.Millisecond)
			if err := c.Freeze(t.Context()); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if got, err := os.ReadFile(file); err != nil || !strings.Contains(string(got), want) {
				t.Errorf("%s: it is %q (%v)", name, got, err)
			}
			if err := c.Thaw(t.Context()); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
}

func TestCgroupInUseIsRefused(t *testing.T) {
	t.Parallel()
	for name, l := range layouts(t) {
		c := created(t, l, pathFor(t), `{}`)
		if _, err := create(l, c.path, nil); err != nil { // an empty one is taken over
			t.Errorf("%s: %v", name, err)
		}
		below := created(t, l, c.path+"/below", `{}`)
		cmd := member(t, below, "exec sleep 60")
		if _, err := create(l, c.path, nil); err == nil || !strings.Contains(err.Error(), "not empty: 1 processes") {
			t.Errorf("%s: %v", name, err)
		}
		if err := cmd.Process.Signal(syscall.Signal(0)); err != nil {
			t.Error(err)
		}
		if err := below.Remove(); err != nil {
			t.Error(err)
		}
		if err := c.freezer(frozen); err != nil {
			t.Fatal(err)
		}
		if _, err := create(l, c.path, nil); err == nil || !strings.Contains(err.Error(), "frozen") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// leftOf is what there is of a cgroup and its parents.
func leftOf(l *cgroupfs.Layout, path string) []string {
	top, _, _ := strings.Cut(path[1:], "/")
	var left []string
	for _, h := range l.Hierarchies {
		left = append(left, cgroupfs.Tree(h.Root+"/"+top)...)
	}
	return left
}

func TestFailureLeavesNothing(t *testing.T) {
	t.Parallel()
	for name, l := range layouts(t) {
		for _, resources := range []string{
			`{"cpu":{"cpus":"9999"}}`,
			`{"pids":{"limit":9223372036854775807}}`,
			`{"hugepageLimits":[{"pageSize":"3MB","limit":1}]}`,
			`{"hugepageLimits":[{"pageSize":"../2MB","limit":1}]}`,
			`{"unified":{"no.such":"1"}}`,
			`{"cpu":{"quota":1}}`,
		} {
			path := pathFor(t)
			c, err := create(l, path, read(t, resources))
			if err == nil {
				t.Errorf("%s: %s: it was made", name, resources)
				_ = c.Remove()
			}
			if err != nil && !strings.Contains(err.Error(), "linux.resources.") {
				t.Errorf("%s: %s: %v", name, resources, err)
			}
			if left := leftOf(l, path); len(left) > 0 {
				t.Errorf("%s: %s: %v is left", name, resources, left)
			}
		}
	}
}

func TestPathsThatAreNoContainers(t *testing.T) {
	t.Parallel()
	for name, l := range layouts(t) {
		for _, path := range []string{"", "/", "a", "a/b", "/a/../..", "/..", "/a/", "//a", "/a/./b", "system.slice:a:b"} {
			if _, err := create(l, path, nil); err == nil {
				t.Errorf("%s: %q was made", name, path)
			}
			if _, err := Open(path, ""); err == nil {
				t.Errorf("%s: %q was opened", name, path)
			}
		}
	}
}

// Whoever makes a cgroup meets others that remove the parents, which are empty.
func TestParentsThatComeAndGo(t *testing.T) {
	t.Parallel()
	for name, l := range layouts(t) {
		path := filepath.Dir(pathFor(t))
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				for range 25 {
					c, err := create(l, path+"/"+strconv.Itoa(i), read(t, `{}`))
					if err != nil {
						t.Errorf("%s: %v", name, err)
						return
					}
					if _, err := create(l, path+"/bad", read(t, `{"hugepageLimits":[{"pageSize":"3MB","limit":1}]}`)); err == nil {
						t.Errorf("%s: that was made", name)
					}
					if err := c.Remove(); err != nil {
						t.Errorf("%s: %v", name, err)
					}
					for _, dir := range c.dirs() {
						_ = unix.Rmdir(filepath.Dir(dir))
					}
				}
			})
		}
		wg.Wait()
	}
}

// v2 files are written in a directory that looks like a cgroup with controllers.
func TestWritesOfVersion2(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	dir := filepath.Join(root, "id")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"memory.max", "memory.current", "cpu.max", "io.weight", "pids.max", "cgroup.freeze", "io.max"} {
		if err := os.WriteFile(filepath.Join(dir, file), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := &Cgroup{layout: &cgroupfs.Layout{Hierarchies: []cgroupfs.Hierarchy{{Root: root}}, Unified: root, V2: true}, path: "/id"}
	if err := c.Update(t.Context(), read(t, `{"memory":{"limit":4096,"swap":4096},"pids":{"limit":0},"blockIO":{"weight":500},"cpu":{"quota":5000,"period":10000},"unified":{"io.max":"8:0 rbps=1"}}`)); err != nil {
		t.Fatal(err) // memory.swap.max is not there, but no swap was wanted
	}
	for file, want := range map[string]string{"memory.max": "4096", "cpu.max": "5000 10000", "io.weight": "4950", "pids.max": "1", "io.max": "8:0 rbps=1"} {
		if got, err := cgroupfs.Read(dir, file); err != nil || got != want {
			t.Errorf("%s is %q (%v), want %s", file, got, err, want)
		}
	}
	err := c.Update(t.Context(), read(t, `{"memory":{"limit":4096,"swap":8192}}`))
	if err == nil || !strings.Contains(err.Error(), "linux.resources.memory.swap: the controller memory is not enabled") {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "memory.current"), []byte("5000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	err = c.Update(t.Context(), read(t, `{"memory":{"limit":5000,"swap":-1,"checkBeforeUpdate":true}}`))
	if err == nil || !strings.Contains(err.Error(), "linux.resources.memory.limit: 5000 is not more than the 5000 bytes that are in use") {
		t.Error(err)
	}
	if err := c.Update(t.Context(), read(t, `{"memory":{"limit":5001,"swap":-1,"checkBeforeUpdate":true}}`)); err != nil {
		t.Error(err)
	}
}

// A period that the old quota does not allow is written after the new quota.
func TestRefusedWritesAreRepeated(t *testing.T) {
	t.Parallel()
	l := layouts(t)["this host"]
	file := map[bool]string{true: "cpu.max.burst", false: "cpu.cfs_burst_us"}[l.V2]
	c := created(t, l, pathFor(t), `{"cpu":{"quota":5000,"period":10000}}`)
	dir := l.Dir("cpu", c.path)
	// More than the quota can be saved up only under the new one.
	if err := c.Update(t.Context(), read(t, `{"cpu":{"quota":50000,"period":100000,"burst":40000}}`)); err != nil {
		t.Fatal(err)
	}
	if got, err := cgroupfs.Read(dir, file); err != nil || got != "40000" {
		t.Errorf("%s is %s (%v)", file, got, err)
	}
	err := c.Update(t.Context(), read(t, `{"cpu":{"quota":60000,"burst":70000}}`))
	if err == nil || !strings.Contains(err.Error(), "linux.resources.cpu.burst: ") {
		t.Error(err)
	}
	if l.V2 {
		return
	}
	if got, err := cgroupfs.Read(dir, "cpu.cfs_quota_us"); err != nil || got != "50000" { // as before
		t.Errorf("the quota is %s (%v)", got, err)
	}
}

func BenchmarkContainer(b *testing.B) {
	r := read(b, `{"memory":{"limit":67108864,"swap":67108864},"cpu":{"shares":512,"quota":50000,"period":100000},"pids":{"limit":100}}`)
	for i := 0; b.Loop(); i++ {
		c, err := Create(fmt.Sprintf("/container-bench-%d-%d", os.Getpid(), i), r)
		if err != nil {
			b.Fatal(err)
		}
		if err := c.Remove(); err != nil {
			b.Fatal(err)
		}
	}
}
