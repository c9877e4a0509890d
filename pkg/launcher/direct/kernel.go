package direct

import (
	"errors"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/container"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/seccomp"
)

// hostLacks names what this host does not have that rooms are made of; it is empty
// if there is nothing.
var hostLacks = sync.OnceValue(func() string {
	// mount_setattr is the newest of the calls that rooms are made with.
	if err := unix.MountSetattr(-1, "", unix.AT_EMPTY_PATH, &unix.MountAttr{}); errors.Is(err, unix.ENOSYS) {
		return "the kernel is older than Linux 5.12"
	}
	if !seccomp.Supported() {
		return "there is no system call filter for this architecture"
	}
	if err := container.Available(); err != nil {
		return err.Error()
	}
	return ""
})
