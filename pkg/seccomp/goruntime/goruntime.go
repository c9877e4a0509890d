// Package goruntime knows which system calls the Go runtime makes by itself, for
// the filters of processes that are to do little else.
//
// It is about programs without cgo that have started, fixed GOMAXPROCS, polled or
// slept once, and set up their signal handlers.
package goruntime

import (
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/seccomp"
)

// threadFlags are those with which the runtime starts threads: exactly these, but
// for CLONE_SETTLS, which depends on the architecture.
const threadFlags = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_SYSVSEM | unix.CLONE_THREAD

// Operations of futex(2) that the runtime uses.
const (
	futexWaitPrivate = 128
	futexWakePrivate = 129
)

// mapType are the bits of mmap's flags that tell shared from private, and
// mapDroppable is a third kind, in which the runtime would keep random numbers
// (linux/mman.h).
const (
	mapType      = 0xf
	mapDroppable = 0x8
)

// Allow appends what the runtime needs in the process pid, as that process knows
// itself. None of it leads to a file, another process or memory that is executable.
func Allow(p *seccomp.Policy, pid int) {
	scheduler(p)
	memory(p)
	threads(p, pid)
}

func scheduler(p *seccomp.Policy) {
	p.Allow(unix.SYS_FUTEX, seccomp.Equal32(1, futexWaitPrivate))
	p.Allow(unix.SYS_FUTEX, seccomp.Equal32(1, futexWakePrivate))
	p.Allow(unix.SYS_NANOSLEEP)
	p.Allow(unix.SYS_SCHED_YIELD)
	p.Allow(unix.SYS_EPOLL_PWAIT)
	p.Allow(unix.SYS_READ)          // of the eventfd that ends epoll_pwait
	p.Allow(unix.SYS_WRITE)         // to it, and of a crash to stderr
	p.Allow(unix.SYS_CLOCK_GETTIME) // where the vDSO cannot tell
	p.Allow(unix.SYS_RESTART_SYSCALL)
	p.Allow(unix.SYS_GETRANDOM)
}

// memory is private and anonymous.
func memory(p *seccomp.Policy) {
	// wazero asks for huge pages, the pool of which belongs to others, and the
	// runtime for droppable ones. Both can do without, but not with any errno.
	p.Fail(unix.SYS_MMAP, unix.ENOMEM, seccomp.Bits(3, unix.MAP_HUGETLB, unix.MAP_HUGETLB))
	p.Fail(unix.SYS_MMAP, unix.ENOMEM, seccomp.Bits(3, mapType, mapDroppable))
	p.Allow(unix.SYS_MMAP,
		seccomp.Only(2, unix.PROT_READ|unix.PROT_WRITE),
		seccomp.Bits(3, ^uint64(unix.MAP_FIXED|unix.MAP_NORESERVE), unix.MAP_PRIVATE|unix.MAP_ANONYMOUS))
	p.Allow(unix.SYS_MUNMAP)
	for _, advice := range []uint32{unix.MADV_DONTNEED, unix.MADV_HUGEPAGE, unix.MADV_NOHUGEPAGE} {
		p.Allow(unix.SYS_MADVISE, seccomp.Equal32(2, advice))
	}
	// To give names to mappings is what kernels are not built for by default.
	// After this answer the runtime does not ask again.
	p.Fail(unix.SYS_PRCTL, unix.EINVAL, seccomp.Equal32(0, unix.PR_SET_VMA))
}

// threads and their signals, which go to no other process.
func threads(p *seccomp.Policy, pid int) {
	p.Allow(unix.SYS_CLONE, seccomp.Bits(0, ^uint64(unix.CLONE_SETTLS), threadFlags))
	p.Allow(unix.SYS_SIGALTSTACK)
	p.Allow(unix.SYS_RT_SIGPROCMASK)
	p.Allow(unix.SYS_RT_SIGRETURN)
	p.Allow(unix.SYS_GETPID)
	p.Allow(unix.SYS_GETTID)
	p.Allow(unix.SYS_TGKILL, seccomp.Equal32(0, uint32(pid)))
	p.Allow(unix.SYS_EXIT)
	p.Allow(unix.SYS_EXIT_GROUP)
}
