package holder

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/holder/tiny"
)

// program is what the holder becomes: a few instructions that sleep.
type program struct {
	fd int // -1 if there is none, and the holder sleeps itself
}

// newProgram makes the program while the process may still make files. Where that
// is not possible (an architecture without one, vm.memfd_noexec) the holder does
// without: it takes more memory, that is all.
func newProgram() (*program, error) {
	f, err := tiny.Sleep()
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EINVAL) {
		return &program{fd: -1}, nil
	}
	if err != nil {
		return nil, err
	}
	// Not through os.File: its finalizer would close the descriptor.
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, FDReport+1)
	f.Close()
	if err != nil {
		return nil, fmt.Errorf("keep the sleeping program: %w", err)
	}
	return &program{fd: fd}, nil
}

// become returns only when the shim is gone, or there is no way on.
func (p *program) become() error {
	if p.fd < 0 {
		return sleep()
	}
	argv, err := syscall.SlicePtrFromStrings([]string{Title})
	if err != nil {
		return err
	}
	env := []*byte{nil}
	empty := [1]byte{}
	// One thread for all: exec ends the others.
	runtime.LockOSThread()
	_, _, errno := unix.RawSyscall6(unix.SYS_EXECVEAT, uintptr(p.fd), uintptr(unsafe.Pointer(&empty[0])),
		uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&env[0])), unix.AT_EMPTY_PATH, 0)
	runtime.KeepAlive(argv)
	runtime.KeepAlive(env)
	if errors.Is(errno, unix.EACCES) || errors.Is(errno, unix.ENOEXEC) {
		return sleep() // a security module may forbid it
	}
	return os.NewSyscallError("execveat", errno)
}

// sleep is what the program does.
func sleep() error {
	if err := unix.Close(FDReport); err != nil {
		return err
	}
	var b [1]byte
	for {
		n, err := unix.Read(FDShim, b[:])
		if n == 0 && err == nil {
			return nil
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
