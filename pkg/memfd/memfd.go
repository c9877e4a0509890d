// Package memfd makes files in memory that nobody can change any more, once they
// have their content.
package memfd

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// seals keep content, size and the seals themselves as they are.
const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE

// New returns an empty file that can be sealed; the name is for people.
func New(name string) (*os.File, error) { return create(name, 0) }

// NewExecutable returns one that can also be executed. The error may be that the
// node forbids it (vm.memfd_noexec=2).
func NewExecutable(name string) (*os.File, error) {
	f, err := create(name, unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // the flag is new in Linux 6.3
		return New(name)
	}
	return f, err
}

func create(name string, flags int) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|flags)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// Seal makes a file unchangeable.
func Seal(f *os.File) error {
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		return os.NewSyscallError("F_ADD_SEALS", err)
	}
	return nil
}

// CheckSealed finds out whether a file is one that Seal has made unchangeable.
func CheckSealed(f *os.File) error {
	set, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0)
	if err != nil {
		return fmt.Errorf("it is no memfd: %w", err)
	}
	if set&seals != seals {
		return fmt.Errorf("it can still be changed (seals %#x)", set)
	}
	return nil
}

// Finish seals a file, gives it permissions, and opens it once more, for reading
// only: a file that is open for writing cannot be executed (ETXTBSY). The caller
// closes both.
func Finish(f *os.File, permissions os.FileMode) (*os.File, error) {
	if err := f.Chmod(permissions); err != nil {
		return nil, err
	}
	if err := Seal(f); err != nil {
		return nil, err
	}
	return os.Open(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
}
