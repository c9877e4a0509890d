package cgroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/cgroups/v3/cgroup1"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
)

// v1 is a container's cgroup in the hierarchies of cgroup v1.
type v1 struct {
	control cgroup1.Cgroup
	dir     string
	members cgroup1.Name // the hierarchy that Pids reads
}

func loadV1(pid int) (Cgroup, error) {
	path := cgroup1.PidPath(pid)
	control, err := cgroup1.Load(path)
	if err != nil {
		return nil, fmt.Errorf("load the cgroup of process %d: %w", pid, err)
	}
	c := &v1{control: control}
	for _, name := range []cgroup1.Name{cgroup1.Pids, cgroup1.Devices, cgroup1.Memory, cgroup1.Freezer} {
		sub, err := path(name)
		if err != nil {
			continue
		}
		dir := filepath.Join("/sys/fs/cgroup", string(name), sub)
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
	m, err := c.control.Stat(cgroup1.IgnoreNotExist)
	if err != nil {
		if errors.Is(err, cgroup1.ErrCgroupDeleted) {
			err = os.ErrNotExist
		}
		return nil, gone(err)
	}
	return m, nil
}

func (c *v1) Pids() ([]int, error) {
	processes, err := c.control.Processes(c.members, true)
	if err != nil {
		if errors.Is(err, cgroup1.ErrCgroupDeleted) {
			err = os.ErrNotExist
		}
		return nil, gone(err)
	}
	pids := make([]int, len(processes))
	for i, p := range processes {
		pids[i] = p.Pid
	}
	return pids, nil
}

func (c *v1) OOMKills() (uint64, error) {
	m, err := c.control.Stat(cgroup1.IgnoreNotExist)
	if err != nil {
		return 0, gone(err)
	}
	return m.GetMemoryOomControl().GetOomKill(), nil
}

// WatchOOM uses an eventfd on memory.oom_control (cgroup v1 documentation,
// memory.txt section 10). It also fires when the cgroup is removed.
func (c *v1) WatchOOM(ctx context.Context, notify func()) error {
	fd, err := c.control.OOMEventFD()
	if errors.Is(err, cgroup1.ErrMemoryNotSupported) {
		return fmt.Errorf("watch memory: %w", errdefs.ErrNotImplemented)
	}
	if err != nil {
		return fmt.Errorf("watch memory: %w", err)
	}
	if err := unix.SetNonblock(int(fd), true); err != nil { // so that Close ends a Read
		unix.Close(int(fd))
		return fmt.Errorf("watch memory: %w", err)
	}
	events := os.NewFile(fd, "memory.oom_control")
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
