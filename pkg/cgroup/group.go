package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/cgroupfs"
)

// root is where the kernel's cgroup filesystems are mounted.
const root = cgroupfs.Root

// Limits of a cgroup that New makes. 0 is no limit.
type Limits struct {
	// Memory in bytes, swap included. The kernel kills all members when it is
	// not enough (on cgroup v1: one of them).
	Memory int64
	// Threads bounds those of all processes together.
	Threads int
	// Weight is the share in the CPU time when CPUs are short, of all cgroups of
	// one parent together; 100 is what others have. On cgroup v2 from 1 to 10000.
	Weight int
}

// Group is a cgroup that New has made.
type Group struct {
	parent, name string
	// dirs is one directory for v2, or one per hierarchy, with memory's first.
	dirs    []string
	unified bool
}

// New makes the cgroup /parent/name with limits. The error says why there is
// none that limits memory; the others are set where they can be.
//
// containerd's library would give up for one file that is not there (kernels
// without swap accounting) and does not know memory.oom.group.
func New(parent, name string, l Limits) (*Group, error) {
	return makeGroup(hierarchies(), parent, name, l)
}

// hierarchy is a mounted cgroup filesystem: v2, or a controller of v1.
type hierarchy struct {
	dir     string
	unified bool
	// limits are the files for the cgroup's limits, parent those for its parent.
	limits, parent func(Limits) []setting
}

// setting is a file and what to write into it.
type setting struct {
	file, value string
	required    bool
}

// hierarchies of this host, with the one that limits memory first.
func hierarchies() []hierarchy {
	if cgroupfs.V2() {
		return []hierarchy{{dir: root, unified: true, limits: v2Limits, parent: v2Parent}}
	}
	found := []hierarchy{{dir: filepath.Join(root, "memory"), limits: v1Memory, parent: none}}
	for _, optional := range []hierarchy{
		{dir: filepath.Join(root, "pids"), limits: v1Pids, parent: none},
		{dir: filepath.Join(root, "cpu"), limits: none, parent: v1Shares},
	} {
		if _, err := os.Stat(optional.dir); err == nil {
			found = append(found, optional)
		}
	}
	return found
}

func none(Limits) []setting { return nil }

// given leaves out the limit 0.
func given(limit int64, settings ...setting) []setting {
	if limit <= 0 {
		return nil
	}
	return settings
}

func v1Memory(l Limits) []setting {
	bytes := strconv.FormatInt(l.Memory, 10)
	return given(l.Memory,
		setting{"memory.limit_in_bytes", bytes, true},
		setting{"memory.memsw.limit_in_bytes", bytes, false}) // only with swap accounting
}

func v1Pids(l Limits) []setting {
	return given(int64(l.Threads), setting{"pids.max", strconv.Itoa(l.Threads), false})
}

func v1Shares(l Limits) []setting {
	const usual = 1024 // what 100 is for v2
	return given(int64(l.Weight), setting{"cpu.shares", strconv.Itoa(l.Weight * usual / 100), false})
}

func v2Limits(l Limits) []setting {
	return slices.Concat(
		given(l.Memory,
			setting{"memory.max", strconv.FormatInt(l.Memory, 10), true},
			setting{"memory.swap.max", "0", false},
			setting{"memory.oom.group", "1", false}),
		given(int64(l.Threads), setting{"pids.max", strconv.Itoa(l.Threads), false}))
}

func v2Parent(l Limits) []setting {
	return given(int64(l.Weight), setting{"cpu.weight", strconv.Itoa(l.Weight), false})
}

func makeGroup(in []hierarchy, parent, name string, l Limits) (_ *Group, retErr error) {
	g := &Group{parent: parent, name: name}
	defer func() {
		if retErr != nil {
			_ = g.Remove()
		}
	}()
	for i, h := range in {
		dir, err := h.make(parent, name, l)
		if dir != "" {
			g.dirs, g.unified = append(g.dirs, dir), h.unified
		}
		if err != nil && i == 0 {
			return nil, fmt.Errorf("make the cgroup %s: %w", filepath.Join("/", parent, name), err)
		}
	}
	return g, nil
}

// make returns the directory that it has made, also with an error.
func (h *hierarchy) make(parent, name string, l Limits) (string, error) {
	above := filepath.Join(h.dir, parent)
	dir := filepath.Join(above, name)
	if err := mkdir(above, dir); err != nil {
		return "", err
	}
	// Not before: now the parent has a child, so that nobody can remove it and make
	// another one, which has not been handed anything.
	if h.unified {
		enable(h.dir)
		enable(above)
	}
	_ = write(above, h.parent(l))
	return dir, write(dir, h.limits(l))
}

// mkdir repeats what it does while others remove an empty parent.
func mkdir(above, dir string) error {
	const attempts = 100
	var err error
	for range attempts {
		if err = os.Mkdir(above, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
		if err = os.Mkdir(dir, 0o755); !errors.Is(err, os.ErrNotExist) {
			break
		}
	}
	if err != nil {
		_ = unix.Rmdir(above) // not while others are in it
	}
	return err
}

// enable hands the controllers on to the cgroups below dir. Which of them arrive
// is seen there.
func enable(dir string) {
	for _, controller := range []string{"memory", "pids", "cpu"} {
		_ = write(dir, []setting{{"cgroup.subtree_control", "+" + controller, false}})
	}
}

// write returns the error of the first required setting.
func write(dir string, settings []setting) error {
	for _, s := range settings {
		if err := cgroupfs.Write(dir, s.file, s.value); err != nil && s.required {
			return err
		}
	}
	return nil
}

// Add moves a process with all its threads into the cgroup.
func (g *Group) Add(pid int) error {
	for _, dir := range g.dirs {
		if err := cgroupfs.Write(dir, "cgroup.procs", strconv.Itoa(pid)); err != nil {
			return fmt.Errorf("move process %d into its cgroup: %w", pid, err)
		}
	}
	return nil
}

// OOMKills counts the processes that the kernel has killed for want of memory.
func (g *Group) OOMKills() (uint64, error) {
	file := "memory.oom_control"
	if g.unified {
		file = "memory.events"
	}
	return oomKills(g.dirs[0], file)
}

// PeakMemory is the most memory that the cgroup has used, in bytes, or 0 where
// the kernel does not keep it (cgroup v2 before Linux 5.19).
func (g *Group) PeakMemory() int64 {
	file := "memory.max_usage_in_bytes"
	if g.unified {
		file = "memory.peak"
	}
	data, err := os.ReadFile(filepath.Join(g.dirs[0], file))
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
	return n
}

// Kill sends SIGKILL to all members.
func (g *Group) Kill() {
	for _, dir := range g.dirs {
		cgroupfs.Kill(dir)
	}
}

// removePatience is how long killed processes may take to leave a cgroup.
const removePatience = 10 * time.Second

// Remove kills the members and removes the cgroup, and its parent if that is
// empty. It may be called again.
func (g *Group) Remove() error {
	wait := time.Millisecond
	for deadline := time.Now().Add(removePatience); ; wait = min(2*wait, 100*time.Millisecond) {
		err := g.rmdir()
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("remove the cgroup %s: %w", filepath.Join("/", g.parent, g.name), err)
		}
		g.Kill()
		time.Sleep(wait)
	}
	for _, dir := range g.dirs {
		_ = unix.Rmdir(filepath.Dir(dir)) // not while others are in it
	}
	return nil
}

func (g *Group) rmdir() error {
	for _, dir := range g.dirs {
		if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	return nil
}

// Sweep removes the cgroups below /parent which are empty and of which inUse,
// asked by name, knows nothing: those whose maker was killed.
func Sweep(parent string, inUse func(name string) bool) {
	for _, h := range hierarchies() {
		above := filepath.Join(h.dir, parent)
		entries, err := os.ReadDir(above)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if e.IsDir() && !inUse(e.Name()) {
				_ = unix.Rmdir(filepath.Join(above, e.Name()))
			}
		}
		_ = unix.Rmdir(above)
	}
}
