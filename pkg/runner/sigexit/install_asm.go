//go:build linux && (amd64 || arm64)

package sigexit

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// handlerAddress returns the address of the handler's first instruction. A Go
// function value would name a wrapper for Go's calling convention instead.
func handlerAddress() uintptr

// sigaction is the kernel's struct sigaction of both architectures.
type sigaction struct {
	handler  uintptr
	flags    uint64
	restorer uintptr
	mask     uint64
}

const (
	// saOnStack: guests run on stacks of the engine, which may be full.
	saOnStack = 0x08000000
	// saRestorer: amd64 kernels refuse to deliver a signal without it. The
	// handler never returns, so that any address does. On arm64 it is optional.
	saRestorer = 0x04000000
	// maskAll: no other handler may interrupt.
	maskAll = ^uint64(0)
	// sigsetSize is the size of a signal set in bytes.
	sigsetSize = 8
)

// Install makes the terminating signals end the process. It replaces handlers of
// the Go runtime, so call it after the last use of os/signal for those signals.
func Install() error {
	address := handlerAddress()
	action := sigaction{handler: address, flags: saOnStack | saRestorer, restorer: address, mask: maskAll}
	for _, s := range terminating() {
		_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(&action)), 0, sigsetSize, 0, 0)
		if errno != 0 {
			return fmt.Errorf("install the handler of signal %d: %w", s, errno)
		}
	}
	return nil
}
