package cgroup

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// v2 is a container's cgroup in the unified hierarchy.
type v2 struct{ dir string }

func (c *v2) Path() string { return c.dir }

func (c *v2) Pids() ([]int, error) { return members(c.dir) }

func (c *v2) OOMKills() (uint64, error) {
	kills, err := oomKills(c.dir, "memory.events")
	if isMissing(err) && exists(c.dir) { // without the controller
		return 0, nil
	}
	return kills, gone(err)
}

// WatchOOM waits for changes of memory.events, also until the cgroup has no members
// any more: nothing else tells that it is gone.
func (c *v2) WatchOOM(ctx context.Context, notify func()) error {
	events, err := c.changes()
	if err != nil {
		return fmt.Errorf("watch memory: %w", err)
	}
	const many = 4096 // bytes of events that all say the same
	go watch(ctx, events, many, func() (more bool) {
		populated := c.isPopulated() // first: the kill of the last member is news, too
		notify()
		return populated
	})
	return nil
}

// changes is an inotify instance.
func (c *v2) changes() (*os.File, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK) // so that Close ends a Read
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	for _, file := range []string{"memory.events", "cgroup.events"} {
		name := c.dir + "/" + file
		if _, err := unix.InotifyAddWatch(fd, name, unix.IN_MODIFY); err != nil {
			unix.Close(fd)
			return nil, &os.PathError{Op: "watch", Path: name, Err: err}
		}
	}
	return os.NewFile(uintptr(fd), "inotify"), nil
}

func (c *v2) isPopulated() bool {
	r := reader{dir: c.dir}
	return r.pair("cgroup.events", "populated") != 0
}
