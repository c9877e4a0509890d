package oci

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// openEntry opens one entry of a directory as a handle without access (O_PATH).
// A symbolic link is opened itself. sameMount refuses to enter a mount, with
// EXDEV.
//
// name must be a single component other than "." and "..": then neither form of
// the call can leave the directory.
func openEntry(dir int, name string, sameMount bool) (int, error) {
	how := unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
	if sameMount {
		how.Resolve |= unix.RESOLVE_NO_XDEV
	}
	fd, err := retry(func() (int, error) { return unix.Openat2(dir, name, &how) })
	// Linux before 5.6, or an old seccomp profile around the daemon.
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		return retry(func() (int, error) {
			return unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		})
	}
	return fd, err
}

// openHandle opens a path of the host as a handle without access.
func openHandle(path string) (int, error) {
	return retry(func() (int, error) { return unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0) })
}

// reopen turns a handle of a regular file into one for reading. The path below
// /proc leads to the very inode that was resolved, whatever its name means now.
func reopen(handle int, name string) (*os.File, error) {
	path := fmt.Sprintf("/proc/self/fd/%d", handle)
	fd, err := retry(func() (int, error) {
		return unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return nil, err
	}
	// It was for FIFOs and leases; readers of the file need not know.
	if err := unix.SetNonblock(fd, false); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// readLink reads the target of a symbolic link from its handle.
func readLink(handle int) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := retry(func() (int, error) { return unix.Readlinkat(handle, "", buf) })
	if err != nil {
		return "", err
	}
	if n == len(buf) {
		return "", unix.ENAMETOOLONG
	}
	if n == 0 {
		return "", unix.ENOENT
	}
	return string(buf[:n]), nil
}

func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}
