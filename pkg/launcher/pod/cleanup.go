package pod

import (
	"context"
	"errors"
	"io/fs"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/bundle"
)

// Cleanup removes what a dead shim has left of the pod whose bundle is dir, for
// the delete helper: its holder has died with it. It is idempotent and succeeds
// if there is nothing, or if the bundle is a container's.
func Cleanup(ctx context.Context, dir bundle.Dir) error {
	s, err := dir.ReadSandbox()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	c := Cgroup{Path: s.Cgroup, Unit: s.Unit}
	return errors.Join(UnmountShm(dir), c.remove(ctx))
}
