package cgroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/cgroups/v3/cgroup2"
	"github.com/containerd/cgroups/v3/cgroup2/stats"
	"google.golang.org/protobuf/proto"
)

// v2 is a container's cgroup in the unified hierarchy.
type v2 struct {
	manager *cgroup2.Manager
	dir     string
}

func loadV2(pid int) (Cgroup, error) {
	path, err := cgroup2.PidGroupPath(pid)
	if err != nil {
		return nil, fmt.Errorf("find the cgroup of process %d: %w", pid, err)
	}
	manager, err := cgroup2.Load(path)
	if err != nil {
		return nil, fmt.Errorf("load cgroup %s: %w", path, err)
	}
	return &v2{manager: manager, dir: filepath.Join(root, path)}, nil
}

func (c *v2) Path() string { return c.dir }

func (c *v2) Stats() (proto.Message, error) {
	m, err := c.metrics()
	if err != nil {
		return nil, err // and no message of that type
	}
	return m, nil
}

// metrics are the figures, with an error if the cgroup is gone: the library takes
// files that are not there for controllers that are not.
func (c *v2) metrics() (*stats.Metrics, error) {
	m, err := c.manager.Stat()
	if err == nil {
		_, err = os.Stat(c.dir)
	}
	return m, gone(err)
}

func (c *v2) Pids() ([]int, error) {
	procs, err := c.manager.Procs(true)
	if err != nil {
		return nil, gone(err)
	}
	pids := make([]int, len(procs))
	for i, p := range procs {
		pids[i] = int(p)
	}
	return pids, nil
}

func (c *v2) OOMKills() (uint64, error) {
	kills, err := oomKills(filepath.Join(c.dir, "memory.events"))
	if errors.Is(err, os.ErrNotExist) {
		if _, err := os.Stat(c.dir); err == nil { // without the controller
			return 0, nil
		}
	}
	return kills, gone(err)
}

// WatchOOM waits for changes of memory.events. The library's channels must be
// read until the cgroup is empty or gone, so that is when the goroutine ends.
func (c *v2) WatchOOM(ctx context.Context, notify func()) error {
	events, errs := c.manager.EventChan()
	go func() {
		for {
			select {
			case <-events:
				if ctx.Err() == nil {
					notify()
				}
			case <-errs:
				return
			}
		}
	}()
	return nil
}
