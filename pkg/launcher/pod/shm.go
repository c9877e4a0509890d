package pod

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/bundle"
)

// shmSize is what containerd gives a pod, in bytes.
const shmSize = 64 << 20

// MountShm mounts what the containers of a pod share as /dev/shm.
func MountShm(dir bundle.Dir) error {
	target := dir.Shm()
	if err := os.Mkdir(target, 0o711); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make the pod's /dev/shm: %w", err)
	}
	err := unix.Mount("shm", target, "tmpfs", unix.MS_NOEXEC|unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("mode=1777,size=%d", shmSize))
	if err != nil {
		return fmt.Errorf("mount the pod's /dev/shm on %s: %w", target, err)
	}
	return nil
}

// UnmountShm is the opposite. Containers that still have it mounted keep their
// mount. Nothing mounted there is no error.
func UnmountShm(dir bundle.Dir) error {
	err := unix.Unmount(dir.Shm(), unix.UMOUNT_NOFOLLOW|unix.MNT_DETACH)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount the pod's /dev/shm: %w", err)
	}
	return nil
}
