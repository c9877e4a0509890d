// Package container makes the cgroup of a container, with what runc 1.5 would set
// there for the same linux.resources, and looks after it: members, limits, freezer,
// removal.
//
// In the cgroupfs form of linux.cgroupsPath it is made here; in that of systemd, by
// systemd, around the first process: see scope.go.
package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/cgroupfs"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/scope"
)

// Cgroup is the cgroup of a container: a directory in each hierarchy. Its methods
// may be called concurrently.
type Cgroup struct {
	layout *cgroupfs.Layout
	path   string
	scope  *unit // nil if systemd has not to do with it

	mu     sync.Mutex // of updates
	limits limits
}

// Prepare makes the cgroup path, below the root of every hierarchy that runc uses,
// without limits, which Begin sets: so the first process can be cloned by a Thread,
// which must not run into them. If it fails, nothing that it made is left. It takes
// over an empty cgroup, but one with members or a frozen one is an error.
func Prepare(path string, r *specs.LinuxResources) (*Cgroup, error) {
	l, err := host()
	if err != nil {
		return nil, err
	}
	c, _, err := prepare(l, path, r)
	return c, err
}

func prepare(l *cgroupfs.Layout, path string, r *specs.LinuxResources) (*Cgroup, *made, error) {
	if err := checkPath(path); err != nil {
		return nil, nil, err
	}
	c := &Cgroup{layout: l, path: path, limits: limitsOf(r)}
	if _, err := c.plan(&c.limits); err != nil { // before anything is made
		return nil, nil, err
	}
	made, err := c.make()
	if dir := l.Dir("cpuset", path); err == nil && dir != "" && !l.V2 {
		err = c.prepareCpuset(dir, made.has(dir))
	}
	if err != nil {
		made.undo()
		return nil, nil, fmt.Errorf("make the cgroup %s: %w", path, err)
	}
	return c, made, nil
}

// Limit sets the limits. If it fails, some of them may be set: then the cgroup is to
// be removed.
func (c *Cgroup) Limit() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, err := c.plan(&c.limits)
	if err == nil {
		err = c.apply(p)
	}
	if err != nil {
		return fmt.Errorf("limit the cgroup %s: %w", c.path, err)
	}
	return nil
}

// Begin makes a process, which is to be the only one by then, the first member of a
// cgroup that has been prepared, and sets the limits. If it fails, some of that may
// be done: then the cgroup is to be removed.
func (c *Cgroup) Begin(ctx context.Context, pid int) error {
	if c.scope != nil {
		if err := c.start(ctx, pid); err != nil {
			return err
		}
	} else if err := c.Add(pid); err != nil { // where it is not yet
		return err
	}
	return c.Limit()
}

// Open is the cgroup of a container that exists, or has existed; unitName is
// that of its scope if systemd has made it. An Update of it knows of no limits before. The
// error says that this host's cgroups are not where they are expected.
func Open(path, unitName string) (*Cgroup, error) {
	l, err := host()
	if err != nil {
		return nil, err
	}
	if err := checkPath(path); err != nil {
		return nil, err
	}
	c := &Cgroup{layout: l, path: path}
	if unitName != "" {
		c.scope = &unit{name: scope.Name{Unit: unitName}, started: true}
	}
	return c, nil
}

// Path of the cgroup below the roots of the hierarchies.
func (c *Cgroup) Path() string { return c.path }

// plan for limits, which on v1 depends on what is set now.
func (c *Cgroup) plan(l *limits) (plan, error) {
	if c.scope != nil {
		l = l.inScope()
	}
	if c.layout.V2 {
		return l.v2()
	}
	current := unlimited
	if dir := c.layout.Dir("memory", c.path); dir != "" && l.memory != 0 && l.swap != 0 {
		text, err := cgroupfs.Read(dir, "memory.limit_in_bytes")
		if err == nil {
			current, err = strconv.ParseUint(text, 10, 64)
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) { // which it is before it is made
			return nil, err
		}
	}
	return l.v1(current)
}

// apply does what is planned, in order.
func (c *Cgroup) apply(p plan) error {
	var refused []write
	for _, w := range p {
		err := c.write(w)
		if w.again && errors.Is(err, unix.EINVAL) {
			refused = append(refused, w)
			continue
		}
		if err != nil {
			return err
		}
		if w.again {
			continue
		}
		for _, again := range refused {
			if err := c.write(again); err != nil {
				return err
			}
		}
		refused = nil
	}
	return nil
}

func (c *Cgroup) write(w write) error {
	dir := c.layout.Dir(w.controller, c.path)
	if dir == "" {
		return fmt.Errorf("%s: this host has no cgroup hierarchy of %s", w.field, w.controller)
	}
	err := cgroupfs.Write(dir, w.file, w.value)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrNotExist) && w.instead != nil:
		return c.write(*w.instead)
	case errors.Is(err, os.ErrNotExist) && w.optional:
		return nil
	}
	return fmt.Errorf("%s: %w", w.field, c.explain(w, dir, err))
}

// explain adds what is not plain from the kernel's error.
func (c *Cgroup) explain(w write, dir string, err error) error {
	switch {
	case errors.Is(err, unix.EBUSY) && w.file == "memory.limit_in_bytes":
		if used, readErr := cgroupfs.Read(dir, "memory.usage_in_bytes"); readErr == nil {
			return fmt.Errorf("%s bytes are in use: %w", used, err)
		}
	case errors.Is(err, os.ErrNotExist) && c.layout.V2 && !c.controllers()[w.controller]:
		return fmt.Errorf("the controller %s is not enabled for the cgroup: %w", w.controller, err)
	}
	return err
}

// FD opens the directory for CLONE_INTO_CGROUP, for the caller to close. It is false
// where the kernel does not have that, or no unified hierarchy. On cgroup v1 and in
// the hybrid form a process has to be in other hierarchies as well: see Thread.
//
// It is also false while the cgroup is frozen, which the caller has to keep up until it
// has cloned: its thread would wait for the child's execve until somebody thaws it, and
// with it, in the Go runtime, the whole process.
func (c *Cgroup) FD() (*os.File, bool) {
	if c.layout.Unified == "" || !cloneIntoCgroup() || c.scope != nil && !c.scope.started || c.frozenV2() {
		return nil, false
	}
	fd, err := cgroupfs.Open(c.layout.Unified, c.path[1:], unix.O_DIRECTORY)
	if err != nil {
		return nil, false
	}
	return os.NewFile(uintptr(fd), c.path), true
}

// Add makes a process with all its threads a member of the cgroup in every hierarchy
// where it is none. Moving one costs the kernel some milliseconds, in the first
// hierarchy of several.
func (c *Cgroup) Add(pid int) error {
	own, err := cgroupfs.Of(pid)
	if err != nil {
		return fmt.Errorf("the cgroups of process %d: %w", pid, err)
	}
	for _, h := range c.layout.Hierarchies {
		if h.PathIn(own) == c.path {
			continue
		}
		if err := add(h.Root+c.path, pid); err != nil && !h.Optional {
			return fmt.Errorf("move process %d into its cgroup: %w", pid, err)
		}
	}
	return nil
}

// add tries again while the kernel has not finished making the process.
func add(dir string, pid int) error {
	var err error
	for wait := time.Millisecond; wait < 250*time.Millisecond; wait *= 2 {
		if err = cgroupfs.Write(dir, "cgroup.procs", strconv.Itoa(pid)); !errors.Is(err, unix.EINVAL) {
			break
		}
		time.Sleep(wait)
	}
	return err
}

// Update changes limits, as "runc update" does: what r does not name stays. If that
// fails, those of before are set again.
func (c *Cgroup) Update(ctx context.Context, r *specs.LinuxResources) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := c.limits.with(r)
	err := c.change(ctx, &next)
	if err == nil {
		c.limits = next
		return nil
	}
	if p, planErr := c.plan(&c.limits); planErr == nil {
		_ = c.tellSystemd(ctx, &c.limits)
		_ = c.apply(p)
	}
	return fmt.Errorf("update the cgroup %s: %w", c.path, err)
}

func (c *Cgroup) change(ctx context.Context, next *limits) error {
	p, err := c.plan(next)
	if err != nil {
		return err
	}
	if c.layout.V2 && next.check {
		if err := c.checkUse(next); err != nil {
			return err
		}
	}
	if err := c.tellSystemd(ctx, next); err != nil {
		return err
	}
	return c.apply(p)
}

// checkUse refuses limits that the cgroup is above already, where members would be
// killed at once; v1 refuses them itself.
func (c *Cgroup) checkUse(next *limits) error {
	text, err := cgroupfs.Read(c.layout.Unified+c.path, "memory.current")
	if err != nil {
		return nil // no controller, no limit: that is the next error
	}
	used, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return err
	}
	for field, limit := range map[string]int64{"swap": next.swap, "limit": next.memory} {
		if limit > 0 && limit <= used {
			return fmt.Errorf(resources+"memory.%s: %d is not more than the %d bytes that are in use", field, limit, used)
		}
	}
	return nil
}

// Kill sends SIGKILL to all members, also if they are frozen.
func (c *Cgroup) Kill() error {
	if c.layout.Unified != "" {
		cgroupfs.Kill(c.layout.Unified + c.path)
	}
	if c.layout.V2 {
		return nil
	}
	// While it freezes, no member can get away by making others.
	_ = c.freezer(frozen)
	killAll(c.layout.Dir("devices", c.path))
	if err := c.freezer(thawed); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err // they cannot die
	}
	return nil
}

// killAll goes on while there are members that it has not seen.
func killAll(dir string) {
	seen := map[int]bool{}
	for found := true; found; {
		found = false
		for _, below := range cgroupfs.Tree(dir) {
			for _, pid := range cgroupfs.Members(below) {
				found = found || !seen[pid]
				seen[pid] = true
			}
			cgroupfs.Kill(below)
		}
	}
}

// Remove kills what is left, and removes the cgroup. It may be called again.
func (c *Cgroup) Remove() error {
	if c.scope != nil && !c.scope.started {
		return nil // what is there now is not ours
	}
	if err := cgroupfs.Remove(c.dirs()...); err != nil {
		return fmt.Errorf("remove the cgroup %s: %w", c.path, err)
	}
	if c.scope != nil {
		// There is nothing left to run; systemd will find that out without being told.
		_ = scope.Stop(context.Background(), c.scope.name.Unit)
	}
	return nil
}

// dirs of the cgroup in all hierarchies.
func (c *Cgroup) dirs() []string { return c.layout.Dirs(c.path) }
