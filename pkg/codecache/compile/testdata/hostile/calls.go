package main

import (
	"crypto/rand"
	"errors"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/compilejob"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/compiler/cage"
)

// deed is something that a compiler must not do, or that shows that it is in its
// cage.
type deed func(*cage.Cage) error

// raw is a system call without any help, whose arguments need not make sense: the
// cage must not come so far as to look at them.
func raw(trap uintptr, args ...uintptr) deed {
	return func(*cage.Cage) error {
		a := append(args, make([]uintptr, 6)...)
		if _, _, errno := unix.RawSyscall6(trap, a[0], a[1], a[2], a[3], a[4], a[5]); errno != 0 {
			return errno
		}
		return errors.New("it succeeded")
	}
}

func text(s string) uintptr {
	b := append([]byte(s), 0)
	return uintptr(unsafe.Pointer(&b[0]))
}

var space [4096]byte

func memory() uintptr { return uintptr(unsafe.Pointer(&space)) }

const (
	self = 1 // in its namespace of processes
	page = 4096
)

// here is AT_FDCWD.
const here = ^uintptr(99)

// none is the descriptor -1.
const none = ^uintptr(0)

// spins makes a loop do something.
var spins atomic.Int64

// harmless deeds end otherwise than by the filter.
func harmless() map[string]deed {
	return map[string]deed{
		"wait": func(*cage.Cage) error { time.Sleep(time.Hour); return nil },
		"allocate": func(*cage.Cage) error {
			allocate()
			return nil
		},
		"spin": func(*cage.Cage) error {
			for {
				spins.Add(1)
			}
		},
		// It would come out of a pool that belongs to others. wazero can do without.
		"huge pages": raw(unix.SYS_MMAP, 0, 2<<20, unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_HUGETLB, none, 0),
		// The Go runtime maps memory of a kind of its own for random numbers.
		"random numbers": func(*cage.Cage) error { _, err := rand.Read(space[:]); return err },
		"threads":        threads,
		"panic":          func(*cage.Cage) error { panic("on purpose") },
		"fault":          func(*cage.Cage) error { var nothing *cage.Cage; return nothing.Module.Close() },
	}
}

// threads keeps the Go runtime busy in every way.
func threads(*cage.Cage) error {
	var wg sync.WaitGroup
	sum := 0
	var mu sync.Mutex
	for range 30 {
		wg.Go(func() {
			runtime.LockOSThread() // and ends with the thread
			timer := time.NewTimer(10 * time.Millisecond)
			var kept [][]byte
			for begin := time.Now(); time.Since(begin) < 30*time.Millisecond; {
				kept = append(kept, make([]byte, 100<<10))
				mu.Lock()
				sum += len(kept)
				mu.Unlock()
				runtime.Gosched()
			}
			<-timer.C
		})
	}
	wg.Wait()
	runtime.GC()
	debug.FreeOSMemory()
	_ = recovered()
	time.Sleep(time.Millisecond)
	return nil
}

// recovered comes back from a fault.
func recovered() (fault any) {
	defer func() { fault = recover() }()
	var nothing *cage.Cage
	return nothing.Job
}

// calls ends each with the process.
func calls() map[string]deed {
	return map[string]deed{
		"mmap of a file":            raw(unix.SYS_MMAP, 0, page, unix.PROT_READ, unix.MAP_PRIVATE, compilejob.FDModule, 0),
		"shared memory":             raw(unix.SYS_MMAP, 0, page, unix.PROT_READ, unix.MAP_SHARED|unix.MAP_ANONYMOUS, none, 0),
		"mmap of executable memory": raw(unix.SYS_MMAP, 0, page, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS, none, 0),
		"writable code":             raw(unix.SYS_MPROTECT, 0, page, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC),
		"merged pages":              raw(unix.SYS_MADVISE, 0, page, unix.MADV_MERGEABLE),
		"futex of another kind":     raw(unix.SYS_FUTEX, memory(), 6), // FUTEX_LOCK_PI
		"prctl of another kind":     raw(unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 1),
		"clone of a process":        raw(unix.SYS_CLONE, uintptr(unix.SIGCHLD)),
		"clone into a namespace":    raw(unix.SYS_CLONE, unix.CLONE_NEWUSER|uintptr(unix.SIGCHLD)),
		"clone of a thread, but":    raw(unix.SYS_CLONE, unix.CLONE_VM|unix.CLONE_FS|unix.CLONE_FILES|unix.CLONE_SIGHAND|unix.CLONE_SYSVSEM|unix.CLONE_THREAD|unix.CLONE_NEWUSER),
		"tgkill of others":          raw(unix.SYS_TGKILL, self+1, self+1, uintptr(unix.SIGKILL)),
		"getting out by a thread": func(c *cage.Cage) error {
			ended := make(chan error)
			go func() { ended <- raw(unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM)(c) }()
			return <-ended
		},
		"open":                       raw(unix.SYS_OPENAT, here, text("/"), unix.O_RDONLY),
		"openat2":                    raw(unix.SYS_OPENAT2, here, text("/"), memory(), 24),
		"open of /proc":              raw(unix.SYS_OPENAT, here, text("/proc/self/mem"), unix.O_RDWR),
		"open by handle":             raw(unix.SYS_OPEN_BY_HANDLE_AT, here, memory(), 0),
		"open_tree":                  raw(unix.SYS_OPEN_TREE, here, text("/"), 1),
		"stat":                       raw(unix.SYS_STATX, here, text("/"), 0, 0, memory()),
		"readlink":                   raw(unix.SYS_READLINKAT, here, text("/proc/self/exe"), memory(), 100),
		"getdents":                   raw(unix.SYS_GETDENTS64, compilejob.FDModule, memory(), 100),
		"unlink":                     raw(unix.SYS_UNLINKAT, here, text("/etc/passwd"), 0),
		"chdir":                      raw(unix.SYS_CHDIR, text("/")),
		"lseek":                      raw(unix.SYS_LSEEK, compilejob.FDModule, 0, 0),
		"truncate":                   raw(unix.SYS_FTRUNCATE, compilejob.FDModule, 0),
		"chmod":                      raw(unix.SYS_FCHMOD, compilejob.FDModule, 0o777),
		"lock":                       raw(unix.SYS_FLOCK, compilejob.FDModule, unix.LOCK_EX),
		"fcntl":                      raw(unix.SYS_FCNTL, compilejob.FDModule, unix.F_SETLEASE, unix.F_WRLCK),
		"ioctl":                      raw(unix.SYS_IOCTL, compilejob.FDModule, unix.TIOCINQ, memory()),
		"dup":                        raw(unix.SYS_DUP, compilejob.FDModule),
		"memfd":                      raw(unix.SYS_MEMFD_CREATE, text("a"), 0),
		"pipe":                       raw(unix.SYS_PIPE2, memory(), 0),
		"eventfd":                    raw(unix.SYS_EVENTFD2, 0, 0),
		"epoll":                      raw(unix.SYS_EPOLL_CREATE1, 0),
		"inotify":                    raw(unix.SYS_INOTIFY_INIT1, 0),
		"fanotify":                   raw(unix.SYS_FANOTIFY_INIT, 0, 0),
		"socket":                     raw(unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM, 0),
		"unix socket":                raw(unix.SYS_SOCKET, unix.AF_UNIX, unix.SOCK_STREAM, 0),
		"socketpair":                 raw(unix.SYS_SOCKETPAIR, unix.AF_UNIX, unix.SOCK_STREAM, 0, memory()),
		"sendmsg":                    raw(unix.SYS_SENDMSG, compilejob.FDResult, memory(), 0),
		"sendfile":                   raw(unix.SYS_SENDFILE, compilejob.FDResult, compilejob.FDModule, 0, 1),
		"splice":                     raw(unix.SYS_SPLICE, compilejob.FDModule, 0, compilejob.FDResult, 0, 1, 0),
		"vmsplice":                   raw(unix.SYS_VMSPLICE, compilejob.FDResult, memory(), 1, 0),
		"exec":                       raw(unix.SYS_EXECVE, text("/proc/self/exe"), 0, 0),
		"execveat":                   raw(unix.SYS_EXECVEAT, compilejob.FDModule, text(""), 0, 0, unix.AT_EMPTY_PATH),
		"clone3":                     raw(unix.SYS_CLONE3, memory(), 88),
		"wait4":                      raw(unix.SYS_WAIT4, none, 0, 0, 0),
		"unshare":                    raw(unix.SYS_UNSHARE, unix.CLONE_NEWUSER),
		"setns":                      raw(unix.SYS_SETNS, compilejob.FDModule, 0),
		"ptrace":                     raw(unix.SYS_PTRACE, unix.PTRACE_ATTACH, self),
		"another process's memory":   raw(unix.SYS_PROCESS_VM_READV, self, memory(), 1, memory(), 1, 0),
		"kcmp":                       raw(unix.SYS_KCMP, self, self, 0, 0, 0),
		"pidfd":                      raw(unix.SYS_PIDFD_OPEN, self, 0),
		"pidfd_getfd":                raw(unix.SYS_PIDFD_GETFD, compilejob.FDModule, 0, 0),
		"kill":                       raw(unix.SYS_KILL, none, uintptr(unix.SIGKILL)),
		"tkill":                      raw(unix.SYS_TKILL, self, uintptr(unix.SIGKILL)),
		"queued signal":              raw(unix.SYS_RT_SIGQUEUEINFO, self, uintptr(unix.SIGKILL), memory()),
		"mount":                      raw(unix.SYS_MOUNT, text("a"), text("/"), text("tmpfs"), 0, 0),
		"unmount":                    raw(unix.SYS_UMOUNT2, text("/"), unix.MNT_DETACH),
		"fsopen":                     raw(unix.SYS_FSOPEN, text("tmpfs"), 0),
		"move_mount":                 raw(unix.SYS_MOVE_MOUNT, compilejob.FDModule, text(""), here, text("/"), 4),
		"pivot_root":                 raw(unix.SYS_PIVOT_ROOT, text("."), text(".")),
		"chroot":                     raw(unix.SYS_CHROOT, text("/")),
		"mknod":                      raw(unix.SYS_MKNODAT, here, text("/sda"), unix.S_IFBLK|0o666, 0x800),
		"setuid":                     raw(unix.SYS_SETRESUID, 0, 0, 0),
		"setgroups":                  raw(unix.SYS_SETGROUPS, 0, 0),
		"capset":                     raw(unix.SYS_CAPSET, memory(), memory()),
		"limits":                     raw(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_NOFILE, memory(), 0),
		"limits of others":           raw(unix.SYS_PRLIMIT64, self, unix.RLIMIT_NOFILE, 0, memory()),
		"priority":                   raw(unix.SYS_SETPRIORITY, 0, 0, 0),
		"scheduler":                  raw(unix.SYS_SCHED_SETSCHEDULER, 0, unix.SCHED_FIFO, memory()),
		"affinity":                   raw(unix.SYS_SCHED_SETAFFINITY, 0, 8, memory()),
		"personality":                raw(unix.SYS_PERSONALITY, 0x40000),
		"seccomp":                    raw(unix.SYS_SECCOMP, 0, 0, 0),
		"landlock":                   raw(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, 1),
		"keyctl":                     raw(unix.SYS_KEYCTL, 0, 0, 0),
		"add_key":                    raw(unix.SYS_ADD_KEY, text("user"), text("a"), memory(), 1, none),
		"request_key":                raw(unix.SYS_REQUEST_KEY, text("user"), text("a"), 0, none),
		"bpf":                        raw(unix.SYS_BPF, 0, memory(), 48),
		"io_uring":                   raw(unix.SYS_IO_URING_SETUP, 1, memory()),
		"aio":                        raw(unix.SYS_IO_SETUP, 1, memory()),
		"userfaultfd":                raw(unix.SYS_USERFAULTFD, 0),
		"perf_event_open":            raw(unix.SYS_PERF_EVENT_OPEN, memory(), 0, none, none, 0),
		"shmget":                     raw(unix.SYS_SHMGET, 1, page, 0o1666),
		"msgget":                     raw(unix.SYS_MSGGET, 1, 0o1666),
		"semget":                     raw(unix.SYS_SEMGET, 1, 1, 0o1666),
		"mq_open":                    raw(unix.SYS_MQ_OPEN, text("a"), unix.O_CREAT, 0o666, 0),
		"timer":                      raw(unix.SYS_TIMER_CREATE, 0, 0, memory()),
		"mlock":                      raw(unix.SYS_MLOCK, memory(), page),
		"mremap":                     raw(unix.SYS_MREMAP, memory(), page, page, 0),
		"remap_file_pages":           raw(unix.SYS_REMAP_FILE_PAGES, memory(), page, 0, 0, 0),
		"memory policy":              raw(unix.SYS_MBIND, memory(), page, 0, 0, 0, 0),
		"pkey":                       raw(unix.SYS_PKEY_ALLOC, 0, 0),
		"memfd_secret":               raw(unix.SYS_MEMFD_SECRET, 0),
		"swapon":                     raw(unix.SYS_SWAPON, text("/"), 0),
		"module":                     raw(unix.SYS_FINIT_MODULE, compilejob.FDModule, text(""), 0),
		"kexec":                      raw(unix.SYS_KEXEC_LOAD, 0, 0, 0, 0),
		"reboot":                     raw(unix.SYS_REBOOT, 0, 0, 0, 0),
		"clock":                      raw(unix.SYS_CLOCK_SETTIME, 0, memory()),
		"hostname":                   raw(unix.SYS_SETHOSTNAME, text("a"), 1),
		"kernel log":                 raw(unix.SYS_SYSLOG, 2, memory(), 1),
		"accounting":                 raw(unix.SYS_ACCT, 0),
		"quota":                      raw(unix.SYS_QUOTACTL, 0, 0, 0, 0),
		"a number that is no call":   raw(1 << 20),
		"another architecture's way": raw(0x40000000 | unix.SYS_GETPID),
	}
}
