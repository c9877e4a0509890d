// Package cgroup reads a container's cgroup: figures, members, out-of-memory
// kills. It hides the difference between cgroup v1 (also in the hybrid form)
// and v2. Containers' cgroups are made by the launcher; New makes those of the
// shim's own helpers.
//
//	cgroup.go            which cgroup
//	v1.go, v2.go         what the versions have in different places
//	figures.go           how figures are read
//	figures1.go, figures2.go, pressure.go, hugepages.go
//	                     the figures, and their numbers in containerd's messages
//	members.go, oom.go   processes, and those killed for want of memory
//	group.go, remove.go  cgroups of helpers, and of others
//
// The figures are encoded here: the library that has the messages would be
// initialised in every process of the shim, for what most containers are never
// asked.
package cgroup

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/cgroupfs"
)

// Cgroup is the cgroup of a container. It stays usable after the last process
// has ended, until the cgroup is removed.
type Cgroup interface {
	// Stats are the figures, from the files of the cgroup. The error is NotFound
	// if the cgroup is gone, and otherwise names a file.
	Stats() (Figures, error)
	// Pids are the processes in the cgroup and below, as the host numbers them.
	Pids() ([]int, error)
	// OOMKills counts the processes that the kernel has killed for want of
	// memory in this cgroup.
	OOMKills() (uint64, error)
	// WatchOOM calls notify after such a kill may have happened, until ctx
	// ends. It returns at once.
	WatchOOM(ctx context.Context, notify func()) error
	// Path is the cgroup's directory: of the unified hierarchy, or of the
	// pids controller on v1.
	Path() string
}

// Figures are an encoded message as containerd decodes it for this host's cgroup
// version: io.containerd.cgroups.v1.Metrics or v2.Metrics.
type Figures struct {
	TypeURL string
	Value   []byte
}

// Of returns the cgroup that the process pid is in.
func Of(pid int) (Cgroup, error) {
	l, err := cgroupfs.Host()
	if err != nil {
		return nil, err
	}
	own, err := cgroupfs.Of(pid)
	if err != nil {
		return nil, fmt.Errorf("find the cgroup of process %d: %w", pid, err)
	}
	c := in(l, func(h *cgroupfs.Hierarchy) string {
		if path := h.PathIn(own); path != "" {
			return h.DirOf(path)
		}
		return ""
	})
	if c == nil {
		return nil, fmt.Errorf("process %d is in none of the cgroup hierarchies pids, devices, memory and freezer", pid)
	}
	return c, nil
}

// At returns the cgroup path, which starts with a slash, of every hierarchy. The
// error is NotFound if there is none.
func At(path string) (Cgroup, error) {
	l, err := cgroupfs.Host()
	if err != nil {
		return nil, err
	}
	c := in(l, func(h *cgroupfs.Hierarchy) string { return h.Root + path })
	if c == nil {
		return nil, fmt.Errorf("there is no cgroup %s: %w", path, errdefs.ErrNotFound)
	}
	return c, nil
}

// in is the cgroup that has a directory in each hierarchy, or "" for none; it is nil
// if there is none.
func in(l *cgroupfs.Layout, dirIn func(*cgroupfs.Hierarchy) string) Cgroup {
	if l.V2 {
		if dir := dirIn(&l.Hierarchies[0]); exists(dir) {
			return &v2{dir: dir}
		}
		return nil
	}
	c := &v1{dirs: map[string]string{}}
	for i := range l.Hierarchies {
		h := &l.Hierarchies[i]
		dir := dirIn(h)
		for _, controller := range h.Controllers {
			c.dirs[controller] = dir
		}
	}
	for _, controller := range []string{"pids", "devices", "memory", "freezer"} {
		if dir := c.dirs[controller]; exists(dir) {
			c.dir = dir
			return c
		}
	}
	return nil
}

func exists(dir string) bool {
	var st unix.Stat_t
	return dir != "" && unix.Stat(dir, &st) == nil
}

// gone turns the errors of a removed cgroup into NotFound.
func gone(err error) error {
	if isMissing(err) {
		return fmt.Errorf("the container's cgroup is gone: %w", errdefs.ErrNotFound)
	}
	return err
}

// isMissing tells whether a file is not there, also if it was when it was opened.
func isMissing(err error) bool {
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENODEV)
}

// checkExists is the error of a cgroup that is gone: files that are not there are
// otherwise taken for those of controllers that are not.
func checkExists(dir string) error {
	if !exists(dir) {
		return gone(os.ErrNotExist)
	}
	return nil
}
