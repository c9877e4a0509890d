package pod

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/cgroups/v3"
	"github.com/containerd/cgroups/v3/cgroup1"
	"github.com/opencontainers/runtime-spec/specs-go"
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
	name := strings.TrimSuffix(strings.TrimPrefix(parent, "/"), ".slice")
	if name == "-" {
		return "/"
	}
	whole := "/"
	for i := range name {
		if name[i] == '-' {
			whole = path.Join(whole, name[:i]+".slice")
		}
	}
	return path.Join(whole, name+".slice")
}

const unifiedRoot = "/sys/fs/cgroup"

// holderShares are the fewest that a cgroup can have, as pause containers do.
const holderShares = 2

func newCgroup(parent, id string) (*Cgroup, error) {
	c := CgroupOf(parent, id)
	if c.Path == "" || c.Unit != "" { // systemd wants a process first
		return &c, nil
	}
	if cgroups.Mode() == cgroups.Unified {
		if err := os.MkdirAll(filepath.Join(unifiedRoot, c.Path), 0o755); err != nil {
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
		if err := startScope(ctx, c.Slice, c.Unit, pid); err != nil {
			return err
		}
	}
	if cgroups.Mode() == cgroups.Unified {
		if c.Unit != "" {
			return nil
		}
		dir := filepath.Join(unifiedRoot, c.Path)
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

// removePatience is how long a cgroup may stay busy after its last process ended.
const removePatience = 2 * time.Second

// remove removes the cgroup, the members of which have ended. It may be called
// again.
func (c *Cgroup) remove(ctx context.Context) error {
	if c.Path == "" {
		return nil
	}
	if c.Unit != "" {
		stopScope(ctx, c.Unit)
	}
	dirs := []string{filepath.Join(unifiedRoot, c.Path)}
	if cgroups.Mode() != cgroups.Unified {
		dirs, _ = filepath.Glob(filepath.Join(unifiedRoot, "*", escape(c.Path)))
	}
	var errs []error
	for _, dir := range dirs {
		if err := rmdir(ctx, dir); err != nil {
			errs = append(errs, fmt.Errorf("remove the pod's cgroup: %w", err))
		}
	}
	return errors.Join(errs...)
}

// escape makes a pattern that matches nothing but path.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

func rmdir(ctx context.Context, dir string) error {
	for deadline := time.Now().Add(removePatience); ; {
		err := os.Remove(dir)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return err
		}
		time.Sleep(5 * time.Millisecond)
	}
}
