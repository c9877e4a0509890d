package privilege

import (
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// perThread is the signal by which the Go runtime has other threads make a system call;
// one that comes uncalled for does nothing.
const perThread = unix.Signal(33)

// OnAllThreads runs a system call on every thread.
func OnAllThreads(what string, trap, a, b, c uintptr) error {
	_, _, errno := syscall.AllThreadsSyscall6(trap, a, b, c, 0, 0, 0)
	if errno != 0 {
		return fmt.Errorf("%s: %w", what, errno)
	}
	return nil
}

// CheckThreads tells whether OnAllThreads would come to an end. A process whose threads may
// not send signals to each other, as security modules can have it even of a single process,
// would wait for ever.
func CheckThreads() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Tgkill(os.Getpid(), unix.Gettid(), perThread); err != nil {
		return fmt.Errorf("threads of this process may not send each other signals, as the Go runtime does; "+
			"an AppArmor profile needs the rule \"signal peer=@{profile_name},\" for that: %w", err)
	}
	return nil
}
