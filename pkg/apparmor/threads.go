package apparmor

import (
	"errors"
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/ownthread"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/seccomp"
)

// sparing is the sixth argument of a call, of which the kernel reads four, that threads
// with the filter spare do not make.
const sparing = 0x77617a65

var spare = seccomp.Policy{
	Rules:     []seccomp.Rule{{Call: unix.SYS_LSM_SET_SELF_ATTR, If: []seccomp.Condition{seccomp.Equal32(5, sparing)}, Then: seccomp.Pretend}},
	Otherwise: seccomp.Allow,
}

// try makes a thread take on a profile, and end.
func try(request []byte) error {
	return onThread(func() error {
		_, _, errno := unix.RawSyscall6(unix.SYS_LSM_SET_SELF_ATTR, attrCurrent, uintptr(unsafe.Pointer(&request[0])), uintptr(len(request)), 0, 0, 0)
		return failure(errno)
	})
}

// setAll makes every thread do so. The Go runtime calls for this thread first and sends
// signals to the others then, which few profiles let a confined thread do to one that is
// not: the runtime would wait for ever. So they are sent by a thread that the kernel only
// tells that its call has succeeded, and that ends.
func setAll(request []byte) error {
	// The runtime ends the process if the others' calls do not end as this thread's.
	if err := try(request); err != nil {
		return err
	}
	return onThread(func() error {
		if err := spare.LoadOnThread(); err != nil {
			return err
		}
		_, _, errno := syscall.AllThreadsSyscall6(unix.SYS_LSM_SET_SELF_ATTR, attrCurrent, uintptr(unsafe.Pointer(&request[0])), uintptr(len(request)), 0, 0, sparing)
		runtime.KeepAlive(request)
		return failure(errno)
	})
}

func failure(errno unix.Errno) error {
	if errno != 0 {
		return errno
	}
	return nil
}

// onThread calls do on a thread that has ended when onThread returns: nothing that it has
// taken on is left.
func onThread(do func() error) error {
	type result struct {
		thread int
		err    error
	}
	results := make(chan result)
	ownthread.Go(func() { results <- result{unix.Gettid(), do()} })
	r := <-results
	for !errors.Is(unix.Tgkill(os.Getpid(), r.thread, 0), unix.ESRCH) {
		time.Sleep(50 * time.Microsecond)
	}
	return r.err
}
