// Package inherited is about the descriptors that a process of this program has got
// through exec. It reads the job that comes through one, and closes those that it
// should not have got: one that leaked is a way out of a container (CVE-2024-21626).
package inherited

import (
	"errors"
	"fmt"
	"math"

	"golang.org/x/sys/unix"
)

// Close closes all inherited descriptors from first on. The Go runtime opens
// descriptors of its own (epoll, eventfd) with the close-on-exec flag, which
// inherited ones cannot have.
func Close(first int) error {
	// Those of the Go runtime have low numbers: it has just started.
	const look = 256
	for fd := first; fd < look; fd++ {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err == nil && flags&unix.FD_CLOEXEC == 0 {
			_ = unix.Close(fd)
		}
	}
	if err := unix.CloseRange(look, math.MaxUint32, 0); err != nil && !errors.Is(err, unix.ENOSYS) {
		return fmt.Errorf("close inherited descriptors: %w", err)
	}
	return nil
}
