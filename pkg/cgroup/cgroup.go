// Package cgroup reads a container's cgroup: figures, members, out-of-memory
// kills. It hides the difference between cgroup v1 (also in the hybrid form)
// and v2. Containers' cgroups are made by the launcher; New makes those of the
// shim's own helpers.
package cgroup

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/containerd/cgroups/v3"
	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"
)

// Cgroup is the cgroup of a container. It stays usable after the last process
// has ended, until the cgroup is removed.
type Cgroup interface {
	// Stats are the figures in the form that containerd decodes for this
	// host's cgroup version: io.containerd.cgroups.v1.Metrics or v2.Metrics.
	// The error is NotFound if the cgroup is gone.
	Stats() (proto.Message, error)
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

// Of returns the cgroup that the process pid is in.
func Of(pid int) (Cgroup, error) {
	if cgroups.Mode() == cgroups.Unified {
		return loadV2(pid)
	}
	return loadV1(pid)
}

// gone turns the errors of a removed cgroup into NotFound.
func gone(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("the container's cgroup is gone: %w", errdefs.ErrNotFound)
	}
	return err
}
