// Package seccomp restricts which system calls a process may make.
//
// Rules name system calls by their number on the architecture that the program
// is built for (unix.SYS_READ, …). Calls by way of another architecture of the
// same CPU (32-bit x86, x32) end the process.
package seccomp

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Action is what becomes of a system call.
type Action uint32

const (
	// Allow carries it out.
	Allow Action = unix.SECCOMP_RET_ALLOW
	// Kill ends the process with all its threads, by SIGSYS.
	Kill Action = unix.SECCOMP_RET_KILL_PROCESS
	// Pretend tells that it has succeeded with 0, and does not carry it out.
	Pretend Action = unix.SECCOMP_RET_ERRNO
)

// Fail makes it fail with errno, which MUST NOT be 0.
func Fail(errno unix.Errno) Action {
	return Action(unix.SECCOMP_RET_ERRNO | uint32(errno)&unix.SECCOMP_RET_DATA)
}

// Rule decides about one system call.
type Rule struct {
	Call uintptr
	// If are conditions which all have to hold for the rule to apply.
	If   []Condition
	Then Action
}

// Condition holds if argument number Arg, counted from 0, has Value in the bits of
// Mask. It sees what the caller passed, not what a pointer points to.
type Condition struct {
	Arg         int
	Mask, Value uint64
}

// Equal is the condition that an argument has a certain value.
func Equal(arg int, value uint64) Condition {
	return Condition{Arg: arg, Mask: ^uint64(0), Value: value}
}

// Equal32 is Equal for an argument of 32 bits (an int, a file descriptor): the
// kernel does not look at the other half of its register.
func Equal32(arg int, value uint32) Condition {
	return Condition{Arg: arg, Mask: 0xffffffff, Value: uint64(value)}
}

// Policy is an ordered list: the first rule that applies decides.
type Policy struct {
	Rules []Rule
	// Otherwise is for calls to which no rule applies.
	Otherwise Action
}

// Load binds all threads of the process, and whatever they start, for ever. It
// sets no_new_privs, without which unprivileged processes may not do this.
//
// The error is ENOSYS or EINVAL, wrapped, if the kernel has no seccomp filters or
// is older than Linux 4.14.
func (p *Policy) Load() error { return p.load(unix.SECCOMP_FILTER_FLAG_TSYNC) }

// LoadOnThread is Load for the calling thread alone, to which the caller is locked.
func (p *Policy) LoadOnThread() error { return p.load(0) }

func (p *Policy) load(flags uintptr) error {
	program, err := p.assemble()
	if err != nil {
		return err
	}
	// What has it, has it on all threads. To stay on one makes Go start another.
	if set, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); err != nil || set == 0 {
		// The other threads get no_new_privs with the filter.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("set no_new_privs: %w", err)
		}
	}
	prog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	thread, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(program)
	if errno != 0 {
		return fmt.Errorf("load the system call filter: %w", errno)
	}
	if thread != 0 {
		return errors.New("load the system call filter: a thread has another one already")
	}
	return nil
}
