package cgroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/containerd/cgroups/v3/cgroup1"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/cgroupfs"
)

// v1 is a container's cgroup in the hierarchies of cgroup v1.
type v1 struct {
	// control takes milliseconds to load, and many containers end before anybody
	// asks for their figures.
	control func() (cgroup1.Cgroup, error)
	dir     string
	members cgroup1.Name // the hierarchy that Pids reads
	memory  string       // the directory in that of memory; empty if there is none
}

func loadV1(pid int) (Cgroup, error) {
	path := cgroup1.PidPath(pid) // which looks now
	c := &v1{control: sync.OnceValues(func() (cgroup1.Cgroup, error) { return cgroup1.Load(path) })}
	if sub, err := path(cgroup1.Memory); err == nil {
		c.memory = filepath.Join(root, string(cgroup1.Memory), sub)
	}
	for _, name := range []cgroup1.Name{cgroup1.Pids, cgroup1.Devices, cgroup1.Memory, cgroup1.Freezer} {
		sub, err := path(name)
		if err != nil {
			continue
		}
		dir := filepath.Join(root, string(name), sub)
		if _, err := os.Stat(dir); err != nil {
			continue // not mounted on this host
		}
		c.members, c.dir = name, dir
		break
	}
	if c.members == "" {
		return nil, fmt.Errorf("process %d is in none of the cgroup hierarchies pids, devices, memory and freezer", pid)
	}
	return c, nil
}

func (c *v1) Path() string { return c.dir }

func (c *v1) Stats() (proto.Message, error) {
	if _, err := os.Stat(c.dir); err != nil { // the library would answer zeros
		return nil, gone(err)
	}
	control, err := c.control()
	if err != nil {
		return nil, deleted(err)
	}
	m, err := control.Stat(cgroup1.IgnoreNotExist)
	if err != nil {
		return nil, deleted(err)
	}
	return m, nil
}

func (c *v1) Pids() ([]int, error) {
	control, err := c.control()
	if err != nil {
		return nil, deleted(err)
	}
	processes, err := control.Processes(c.members, true)
	if err != nil {
		return nil, deleted(err)
	}
	pids := make([]int, len(processes))
	for i, p := range processes {
		pids[i] = p.Pid
	}
	return pids, nil
}

// deleted translates what the library says of a cgroup that is gone.
func deleted(err error) error {
	if errors.Is(err, cgroup1.ErrCgroupDeleted) {
		err = os.ErrNotExist
	}
	return gone(err)
}

func (c *v1) OOMKills() (uint64, error) {
	if c.memory == "" {
		return 0, nil
	}
	kills, err := oomKills(filepath.Join(c.memory, "memory.oom_control"))
	return kills, gone(err)
}

// WatchOOM uses an eventfd on memory.oom_control (cgroup v1 documentation,
// memory.txt section 10). It also fires when the cgroup is removed.
func (c *v1) WatchOOM(ctx context.Context, notify func()) error {
	if c.memory == "" {
		return fmt.Errorf("watch memory: %w", errdefs.ErrNotImplemented)
	}
	events, err := c.oomEvents()
	if err != nil {
		return fmt.Errorf("watch memory: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { events.Close() })
	go func() {
		defer events.Close()
		defer stop()
		var counter [8]byte
		for {
			if _, err := events.Read(counter[:]); err != nil {
				return
			}
			if ctx.Err() != nil {
				return
			}
			notify()
		}
	}()
	return nil
}

// oomEvents is an eventfd that counts how often memory was short.
func (c *v1) oomEvents() (*os.File, error) {
	control, err := os.Open(filepath.Join(c.memory, "memory.oom_control"))
	if err != nil {
		return nil, err
	}
	defer control.Close()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK) // so that Close ends a Read
	if err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	if err := cgroupfs.Write(c.memory, "cgroup.event_control", fmt.Sprintf("%d %d", fd, control.Fd())); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "memory.oom_control"), nil
}
