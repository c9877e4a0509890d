package holder

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/seccomp"
)

// policy is what it takes to sleep, to become the program that sleeps (once: its
// descriptor is closed by that), and what the Go runtime does meanwhile.
func policy(program int) *seccomp.Policy {
	p := &seccomp.Policy{Otherwise: seccomp.Kill}
	allow := func(call uintptr, conditions ...seccomp.Condition) {
		p.Rules = append(p.Rules, seccomp.Rule{Call: call, If: conditions, Then: seccomp.Allow})
	}
	allow(unix.SYS_READ)
	allow(unix.SYS_RESTART_SYSCALL)
	allow(unix.SYS_EXIT_GROUP)
	allow(unix.SYS_PRCTL, seccomp.Equal32(0, unix.PR_SET_NAME))
	if program >= 0 {
		allow(unix.SYS_EXECVEAT, seccomp.Equal32(0, uint32(program)), seccomp.Equal32(4, unix.AT_EMPTY_PATH))
	}

	// The Go runtime, until then or where it sleeps itself: scheduler, threads and
	// signals. No memory becomes executable, no thread a process.
	allow(unix.SYS_CLONE, bits(0, unix.CLONE_THREAD|unix.CLONE_VM, unix.CLONE_THREAD|unix.CLONE_VM))
	allow(unix.SYS_MMAP, bits(2, unix.PROT_EXEC, 0), bits(3, unix.MAP_ANONYMOUS, unix.MAP_ANONYMOUS))
	allow(unix.SYS_MUNMAP)
	allow(unix.SYS_WRITE, seccomp.Equal32(0, FDReport))
	allow(unix.SYS_CLOSE)
	allow(unix.SYS_FUTEX)
	allow(unix.SYS_NANOSLEEP)
	allow(unix.SYS_SCHED_YIELD)
	allow(unix.SYS_EPOLL_PWAIT)
	allow(unix.SYS_CLOCK_GETTIME)
	allow(unix.SYS_MADVISE)
	allow(unix.SYS_SIGALTSTACK)
	allow(unix.SYS_RT_SIGACTION)
	allow(unix.SYS_RT_SIGPROCMASK)
	allow(unix.SYS_RT_SIGRETURN)
	allow(unix.SYS_GETPID)
	allow(unix.SYS_GETTID)
	allow(unix.SYS_TGKILL, seccomp.Equal32(0, uint32(os.Getpid())))
	allow(unix.SYS_EXIT)
	return p
}

func bits(arg int, mask, value uint64) seccomp.Condition {
	return seccomp.Condition{Arg: arg, Mask: mask, Value: value}
}
