package cage

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/seccomp"
)

// threadFlags are those with which the Go runtime starts threads: exactly these,
// but for CLONE_SETTLS, which depends on the architecture.
const threadFlags = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_SYSVSEM | unix.CLONE_THREAD

// Operations of futex(2) that the Go runtime uses.
const (
	futexWaitPrivate = 128
	futexWakePrivate = 129
)

// mapType are the bits of mmap's flags that tell shared from private, and
// mapDroppable is a third kind, in which the Go runtime would keep random numbers
// (linux/mman.h).
const (
	mapType      = 0xf
	mapDroppable = 0x8
)

// policy is what the Go runtime needs while it computes, and what it takes to
// read the module and write the result. Everything else ends the process:
// there is no way to a file, a socket, another program or another process.
func policy() *seccomp.Policy {
	p := &seccomp.Policy{Otherwise: seccomp.Kill}
	allow := func(call uintptr, conditions ...seccomp.Condition) {
		p.Rules = append(p.Rules, seccomp.Rule{Call: call, If: conditions, Then: seccomp.Allow})
	}
	fail := func(call uintptr, errno unix.Errno, conditions ...seccomp.Condition) {
		p.Rules = append(p.Rules, seccomp.Rule{Call: call, If: conditions, Then: seccomp.Fail(errno)})
	}

	// Scheduler.
	allow(unix.SYS_FUTEX, seccomp.Equal32(1, futexWaitPrivate))
	allow(unix.SYS_FUTEX, seccomp.Equal32(1, futexWakePrivate))
	allow(unix.SYS_NANOSLEEP)
	allow(unix.SYS_SCHED_YIELD)
	allow(unix.SYS_EPOLL_PWAIT)
	allow(unix.SYS_CLOCK_GETTIME) // where the vDSO cannot tell
	allow(unix.SYS_RESTART_SYSCALL)
	allow(unix.SYS_GETRANDOM)

	// Memory: private and anonymous, executable only if it cannot be written to.
	// wazero asks for huge pages, the pool of which belongs to others, and the Go
	// runtime for droppable ones. Both can do without.
	fail(unix.SYS_MMAP, unix.ENOMEM, bits(3, unix.MAP_HUGETLB, unix.MAP_HUGETLB))
	fail(unix.SYS_MMAP, unix.ENOMEM, bits(3, mapType, mapDroppable))
	allow(unix.SYS_MMAP,
		bits(2, unix.PROT_EXEC, 0),
		bits(3, mapType|unix.MAP_ANONYMOUS, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS))
	allow(unix.SYS_MPROTECT, bits(2, unix.PROT_EXEC, 0))
	allow(unix.SYS_MPROTECT, bits(2, unix.PROT_WRITE, 0))
	allow(unix.SYS_MUNMAP)
	for _, advice := range []uint32{unix.MADV_DONTNEED, unix.MADV_FREE, unix.MADV_HUGEPAGE, unix.MADV_NOHUGEPAGE, unix.MADV_COLLAPSE} {
		allow(unix.SYS_MADVISE, seccomp.Equal32(2, advice))
	}
	allow(unix.SYS_PRCTL, seccomp.Equal32(0, unix.PR_SET_VMA)) // names of mappings

	// Threads and their signals.
	allow(unix.SYS_CLONE, bits(0, ^uint64(unix.CLONE_SETTLS), threadFlags))
	allow(unix.SYS_SIGALTSTACK)
	allow(unix.SYS_RT_SIGPROCMASK)
	allow(unix.SYS_RT_SIGRETURN)
	allow(unix.SYS_GETPID)
	allow(unix.SYS_GETTID)
	allow(unix.SYS_TGKILL, seccomp.Equal32(0, uint32(os.Getpid())))
	allow(unix.SYS_EXIT)
	allow(unix.SYS_EXIT_GROUP)

	// The descriptors that are open.
	allow(unix.SYS_READ)
	allow(unix.SYS_PREAD64)
	allow(unix.SYS_WRITE)
	allow(unix.SYS_FSTAT)
	allow(unix.SYS_CLOSE)
	return p
}

func bits(arg int, mask, value uint64) seccomp.Condition {
	return seccomp.Condition{Arg: arg, Mask: mask, Value: value}
}
