// Package cell locks a runner in, for ever, when it has loaded its module and
// before the guest's first instruction.
//
// A guest that leaves wazero's sandbox finds itself in a process of the
// container's user without privileges, in the container's namespaces. What it
// could try from there begins with a system call. In the cell there are only those
// that a well-behaved guest makes by way of WASI and the Go runtime: it can do
// with files what WASI can do with them, and nothing else.
//
// The package does without wazero, so that the shim can compare Policy with what
// a container's configuration allows.
package cell

import (
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/apparmor"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/runner/cell/landlock"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/seccomp"
)

// Lock binds all threads of the process, the guest of which can do with sockets
// what s says, and which takes on an AppArmor profile if there is the
// name of one. no_new_privs has to be set on them, and
// signal handlers as they are to stay: they cannot be changed any more.
//
// The error wraps ENOSYS or EINVAL if the kernel is older than Linux 4.14 or has
// no seccomp filters. A kernel without Landlock is no error, and neither is an
// architecture without filters here (see seccomp.Supported): the interpreter runs
// guests there.
func Lock(s Sockets, profile string) error { return lock(s, profile, Policy(os.Getpid(), s)) }

func lock(s Sockets, profile string, policy *seccomp.Policy) error {
	// It tells one thread after the other: before there are more.
	if err := landlock.Restrict(s >= OpenSockets); err != nil {
		return err
	}
	settleRuntime()
	// Nothing tells the threads one after the other from here on: the filter is for all at once.
	if err := apparmor.Confine(profile); err != nil {
		return err
	}
	if !seccomp.Supported() {
		return nil
	}
	if err := policy.Load(); err != nil {
		return fmt.Errorf("lock the runner in: %w", err)
	}
	return nil
}

// settleRuntime makes the Go runtime do now what it could not do later.
func settleRuntime() {
	// It would look for changes of the CPUs every second, with system calls, until
	// somebody sets the number, even to what it is. With one alone, each system call
	// of the guest that takes a moment would wake a thread to look for other work.
	const forGuest = 2
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), forGuest))
	// It opens what it polls with at the first use of a timer.
	time.Sleep(time.Nanosecond)
}
