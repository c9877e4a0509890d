package room

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/privilege"
)

// join makes the root of another process this one's, with all its threads, which
// a mount namespace cannot be given to. The mounts of this process's own are gone
// before: there is nothing to find outside of the root.
func join(root *os.File) error {
	if err := privilege.EmptyRoot(); err != nil {
		return err
	}
	if err := unix.Fchdir(int(root.Fd())); err != nil {
		return fmt.Errorf("enter the container's root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("make the container's root the root: %w", err)
	}
	return nil
}
