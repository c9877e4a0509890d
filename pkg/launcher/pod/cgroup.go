package pod

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/containerd/cgroups/v3"
	"github.com/containerd/cgroups/v3/cgroup1"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/cgroupfs"
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

// holderShares are the fewest that a cgroup can have, as pause containers do.
const holderShares = 2

func newCgroup(parent, id string) (*Cgroup, error) {
	c := CgroupOf(parent, id)
	if c.Path == "" || c.Unit != "" { // systemd wants a process first
		return &c, nil
	}
	if cgroups.Mode() == cgroups.Unified {
		if err := os.MkdirAll(filepath.Join(cgroupfs.Root, c.Path), 0o755); err != nil {
			return nil, fmt.Errorf("make the pod's cgroup: %w", err)
		}
	}
	return &c, nil
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
	if cgroups.Mode() == cgroups.Unified {
		if c.Unit != "" {
			return nil
		}
		dir := filepath.Join(cgroupfs.Root, c.Path)
		_ = os.WriteFile(filepath.Join(dir, "cpu.weight"), []byte("1"), 0) // if the pod's cgroup has the controller
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
			return fmt.Errorf("move the pod's holder into its cgroup: %w", err)
		}
		return nil
	}
	// With systemd, too: it does not care for all controllers of v1.
	shares := uint64(holderShares)
	control, err := cgroup1.New(cgroup1.StaticPath(c.Path), &specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: &shares}})
	if err != nil {
		return fmt.Errorf("make the pod's cgroup %s: %w", c.Path, err)
	}
	if err := control.AddProc(uint64(pid)); err != nil {
		return fmt.Errorf("move the pod's holder into its cgroup %s: %w", c.Path, err)
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
