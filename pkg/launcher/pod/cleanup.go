package pod

import (
	"context"
	"errors"
	"io/fs"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/bundle"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup"
)

// Cleanup removes what a dead shim has left of the pod whose bundle is dir, for
// the delete helper: its holder has died with it. It is idempotent and succeeds
// if there is nothing, or if the bundle is a container's.
//
// The pod's containers are removed by removeMember, called for each of which there
// is a bundle. containerd 2.3 has no delete helper for them, and may have removed
// their bundles already; other versions have one at the same time.
func Cleanup(ctx context.Context, dir bundle.Dir, removeMember func(context.Context, bundle.Dir, string) error) error {
	s, err := dir.ReadSandbox()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, m := range s.Members {
		if m.Bundle.Deleted() {
			continue
		}
		if m.Cgroup != "" { // first: no process may outlive its bundle
			errs = append(errs, cgroup.RemovePath(m.Cgroup))
		}
		if !m.Bundle.Exists() {
			continue
		}
		err := errors.Join(removeMember(ctx, m.Bundle, m.ID), m.Bundle.UnmountRootfs(ctx))
		if m.Bundle.Exists() { // else it was being removed meanwhile
			errs = append(errs, err)
		}
	}
	c := Cgroup{Path: s.Cgroup, Unit: s.Unit}
	return errors.Join(append(errs, UnmountShm(dir), c.remove(ctx))...)
}
