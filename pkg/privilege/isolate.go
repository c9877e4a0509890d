package privilege

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Isolate keeps other processes of the container away from this one's memory.
// Call it after Drop: the kernel undoes it when credentials change.
//
// The process is made not dumpable, so that nobody without CAP_SYS_PTRACE can
// attach to it or open its /proc/<pid>/mem: not another runner of the same user,
// and for users other than root not even its own guest through a preopened
// /proc. A core dump of a guest's host process would be of no use to users, and
// could hold another tenant's data.
func Isolate() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbid core dumps: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("make the process not dumpable: %w", err)
	}
	return nil
}

// DieWithParent makes the kernel end this process when its parent ends. Call it
// after Drop, for the same reason, and when the shim is known to be the parent:
// the first parent of an exec is runc, which ends at once. The caller then
// checks that the parent is still there.
func DieWithParent() error {
	return OnAllThreads("ask for a signal when the parent ends", unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0)
}
