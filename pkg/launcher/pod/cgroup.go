package pod

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/cgroupfs"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/container"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/scope"
)

// Cgroup is the one of a holder, below that of its pod.
type Cgroup struct {
	// Path below the roots of the hierarchies; empty for none.
	Path string
	// Slice and Unit are set in the systemd form.
	Slice, Unit string
}

// CgroupOf finds the holder's cgroup as containerd's CRI finds those of the pod's
// containers (getCgroupsPath): a parent whose last element is a slice means that
// systemd makes it, as scope "cri-containerd-<id>.scope".
func CgroupOf(parent, id string) Cgroup {
	base := path.Base(parent)
	switch {
	case parent == "":
		return Cgroup{}
	case strings.HasSuffix(base, ".slice"):
		unit := "cri-containerd-" + id + ".scope"
		return Cgroup{Path: path.Join(ParentPath(parent), unit), Slice: base, Unit: unit}
	default:
		return Cgroup{Path: path.Join("/", parent, id)}
	}
}

// ParentPath is where the cgroup above a pod's containers is: a slice that comes
// without a path lies in those that its name is made of.
func ParentPath(parent string) string {
	if !strings.HasSuffix(parent, ".slice") || strings.Contains(strings.TrimPrefix(parent, "/"), "/") {
		return path.Join("/", parent)
	}
	return scope.SlicePath(strings.TrimPrefix(parent, "/"))
}

// add moves the holder into its cgroup.
func (c *Cgroup) add(ctx context.Context, pid int) error {
	if c.Path == "" {
		return nil
	}
	if c.Unit != "" {
		s := scope.Scope{Name: scope.Name{Slice: c.Slice, Unit: c.Unit}, Description: "holder of a pod's namespaces"}
		if err := scope.Start(ctx, s, pid); err != nil {
			return fmt.Errorf("make the pod's cgroup: %w; without systemd, set cgroupDriver: cgroupfs in the kubelet's configuration", err)
		}
	}
	if c.Unit != "" && cgroupfs.V2() {
		return nil
	}
	if err := container.Hold(c.Path, pid); err != nil {
		return fmt.Errorf("move the pod's holder into its cgroup: %w", err)
	}
	return nil
}

// remove removes the cgroup, the members of which have ended. It may be called
// again.
func (c *Cgroup) remove(ctx context.Context) error {
	if c.Path == "" {
		return nil
	}
	if c.Unit != "" {
		// The kernel has emptied it, and systemd removes it by itself, except where
		// nobody tells it (cgroup v1 in a container).
		_ = scope.Stop(ctx, c.Unit)
	}
	return cgroup.RemovePath(c.Path)
}

// MemberCgroup is the path of the cgroup that runc makes for cgroupsPath of a
// spec: "/path", or "slice:prefix:name" in the systemd form. It is empty if that
// depends on something else.
func MemberCgroup(cgroupsPath string) string {
	parts := strings.Split(cgroupsPath, ":")
	switch {
	case len(parts) == 3 && strings.HasSuffix(parts[0], ".slice"):
		unit := parts[2]
		if !strings.HasSuffix(unit, ".slice") {
			unit = parts[1] + "-" + unit + ".scope"
		}
		return path.Join(ParentPath(parts[0]), unit)
	case strings.HasPrefix(cgroupsPath, "/"):
		return path.Clean(cgroupsPath)
	default:
		return ""
	}
}
