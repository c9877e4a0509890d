package cell

import (
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/seccomp"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/seccomp/goruntime"
)

const (
	// openFlags are those that WASI's flags become, what Go adds, and O_PATH, with
	// which pkg/wasi looks where a name leads. Not among them: O_TMPFILE, O_DIRECT,
	// O_ASYNC, O_NOATIME.
	openFlags = unix.O_ACCMODE | unix.O_CREAT | unix.O_EXCL | unix.O_TRUNC | unix.O_APPEND |
		unix.O_NONBLOCK | unix.O_DSYNC | unix.O_SYNC | unix.O_DIRECTORY | unix.O_NOFOLLOW |
		unix.O_CLOEXEC | unix.O_LARGEFILE | unix.O_PATH
	// fileBits and directoryBits are the permissions of what a guest makes (see
	// pkg/wasi). So no program can be left on a volume for the host to execute.
	fileBits      = 0o666
	directoryBits = 0o777
)

// Policy is what a runner may do after Lock; pid is its own, as it knows itself,
// and s what its guest can do with sockets.
//
// Everything else fails with EPERM, as it does for a process without privileges.
// To end the process instead would keep no more from an attacker, who would not
// get what was asked for either; but it would end a container at night because
// of a rare path of the Go runtime that nobody has tested. Only calls of other
// architectures end the process: those are no accident.
func Policy(pid int, s Sockets) *seccomp.Policy {
	p := &seccomp.Policy{Otherwise: seccomp.Fail(unix.EPERM)}
	goruntime.Allow(p, pid)
	// A guest's memory grows by this. Nothing becomes executable: code is there
	// before Lock.
	p.Allow(unix.SYS_MPROTECT, seccomp.Only(2, unix.PROT_READ|unix.PROT_WRITE))
	descriptors(p)
	names(p)
	sockets(p, s)
	return p
}

// descriptors are what can be done with files that are open: data, attributes and
// waiting. WASI has no ioctls; one tells poll_oneoff how much is there. There is no
// epoll_ctl: what waits for descriptors does so by ppoll.
func descriptors(p *seccomp.Policy) {
	p.Allow(unix.SYS_CLOSE)
	p.Allow(unix.SYS_READV)
	p.Allow(unix.SYS_WRITEV)
	p.Allow(unix.SYS_PREAD64)
	p.Allow(unix.SYS_PWRITE64)
	p.Allow(unix.SYS_PREADV)
	p.Allow(unix.SYS_PWRITEV)
	p.Allow(unix.SYS_LSEEK)
	p.Allow(unix.SYS_FSTAT)
	p.Allow(unix.SYS_GETDENTS64)
	p.Allow(unix.SYS_FTRUNCATE)
	p.Allow(unix.SYS_FALLOCATE)
	p.Allow(unix.SYS_FADVISE64)
	p.Allow(unix.SYS_FSYNC)
	p.Allow(unix.SYS_FDATASYNC)
	p.Allow(unix.SYS_PPOLL)
	p.Allow(unix.SYS_IOCTL, seccomp.Equal32(1, unix.TIOCINQ)) // FIONREAD
	p.Allow(unix.SYS_CLOCK_GETRES)
	p.Allow(unix.SYS_FSTATFS) // pkg/wasi asks whether a file is in a procfs
	p.Allow(unix.SYS_FCNTL, seccomp.Equal32(1, unix.F_GETFL))
	p.Allow(unix.SYS_FCNTL, seccomp.Equal32(1, unix.F_SETFL), seccomp.Bits(2, unix.O_ASYNC, 0))
	p.Allow(unix.SYS_FCNTL, seccomp.Equal32(1, unix.F_DUPFD_CLOEXEC)) // for /dev/stdout and the like
}

// names are paths from any directory that is open: pkg/wasi has one for each
// preopen, and for each that a guest opens. None of them is outside the
// container's root, and tidied away is what the guest has no use for, so that a
// descriptor leads nowhere where a path would not.
func names(p *seccomp.Policy) {
	p.Allow(unix.SYS_OPENAT, seccomp.Only(2, openFlags), seccomp.Only(3, fileBits))
	p.Allow(unix.SYS_NEWFSTATAT)
	p.Allow(unix.SYS_READLINKAT)
	p.Allow(unix.SYS_MKDIRAT, seccomp.Only(2, directoryBits))
	p.Allow(unix.SYS_UNLINKAT)
	rename(p)
	p.Allow(unix.SYS_LINKAT, seccomp.Only(4, unix.AT_SYMLINK_FOLLOW)) // not AT_EMPTY_PATH
	p.Allow(unix.SYS_SYMLINKAT)
	p.Allow(unix.SYS_UTIMENSAT) // of a name, or of a descriptor and no name
}
