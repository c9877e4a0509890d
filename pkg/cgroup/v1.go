package cgroup

import (
	"context"
	"fmt"
	"os"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/cgroupfs"
)

// v1 is a container's cgroup in the hierarchies of cgroup v1.
type v1 struct {
	dirs map[string]string // by controller, of those that are mounted
	dir  string            // that of them which tells the members
}

func (c *v1) Path() string { return c.dir }

func (c *v1) Pids() ([]int, error) { return members(c.dir) }

func (c *v1) OOMKills() (uint64, error) {
	if c.dirs["memory"] == "" {
		return 0, nil
	}
	kills, err := oomKills(c.dirs["memory"], "memory.oom_control")
	return kills, gone(err)
}

// WatchOOM uses an eventfd on memory.oom_control (cgroup v1 documentation,
// memory.txt section 10). It also fires when the cgroup is removed.
func (c *v1) WatchOOM(ctx context.Context, notify func()) error {
	if c.dirs["memory"] == "" {
		return fmt.Errorf("watch memory: %w", errdefs.ErrNotImplemented)
	}
	events, err := c.oomEvents()
	if err != nil {
		return fmt.Errorf("watch memory: %w", err)
	}
	const counter = 8 // bytes: eventfd(2)
	go watch(ctx, events, counter, func() (more bool) {
		notify()
		return true
	})
	return nil
}

// oomEvents is an eventfd that counts how often memory was short.
func (c *v1) oomEvents() (*os.File, error) {
	dir := c.dirs["memory"]
	control, err := cgroupfs.Open(dir, "memory.oom_control", unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(control)
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK) // so that Close ends a Read
	if err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	if err := cgroupfs.Write(dir, "cgroup.event_control", fmt.Sprintf("%d %d", fd, control)); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "memory.oom_control"), nil
}
