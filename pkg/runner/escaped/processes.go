package escaped

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

func programs() []Attack {
	program := func(paths ...string) (string, error) {
		return anyOf(paths, func(path string) (string, error) {
			p, err := os.StartProcess(path, []string{path, "true"}, &os.ProcAttr{})
			if err != nil {
				return "", err
			}
			_, _ = p.Wait()
			return path, nil
		})
	}
	return []Attack{
		{Name: "execute a program of the image", Try: func(t *Target) (string, error) { return program(t.Image + "/bin/busybox") }},
		{Name: "execute the shim's binary", Try: func(*Target) (string, error) { return program("/proc/self/exe") }},
		{Name: "execute in place", Try: func(*Target) (string, error) {
			// Two things wrong with it, so that it returns in any case.
			return "execve", unlessPermission(unix.Exec("/bin/no-such-program", []string{"x"}, nil), unix.ENOENT)
		}},
		{Name: "execute a file in memory", Try: func(*Target) (string, error) {
			fd, err := unix.MemfdCreate("escaped", 0)
			if err != nil {
				return "", err
			}
			defer unix.Close(fd)
			return "execveat", unlessPermission(call(unix.SYS_EXECVEAT, uintptr(fd), text(""), 0, 0, unix.AT_EMPTY_PATH), unix.ENOEXEC, unix.EACCES)
		}},
		{Name: "fork", Try: func(*Target) (string, error) {
			pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
			if errno != 0 {
				return "", errno
			}
			if pid == 0 {
				unix.RawSyscall(unix.SYS_EXIT, 0, 0, 0)
			}
			return fmt.Sprintf("process %d", pid), nil
		}},
		{Name: "make memory executable", Try: func(*Target) (string, error) {
			return first(
				func() (string, error) { return executable(unix.PROT_READ | unix.PROT_WRITE | unix.PROT_EXEC) },
				func() (string, error) { return executable(unix.PROT_READ | unix.PROT_EXEC) },
			)
		}},
		{Name: "map executable memory", Try: func(*Target) (string, error) {
			b, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
			if err == nil {
				_ = unix.Munmap(b)
			}
			return "mmap", err
		}},
		{Name: "map a file as a program", Try: func(t *Target) (string, error) {
			f, err := os.Open(t.Image + "/bin/busybox")
			if err != nil {
				return "", err
			}
			defer f.Close()
			b, err := unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE)
			if err == nil {
				_ = unix.Munmap(b)
			}
			return "mmap", err
		}},
	}
}

// executable makes memory that has been written to executable.
func executable(protection int) (string, error) {
	b, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return "", err
	}
	defer func() { _ = unix.Munmap(b) }()
	b[0] = 0xc3
	return "mprotect", unix.Mprotect(b, protection)
}

// unlessPermission is for system calls that fail for another reason where they
// would be permitted.
func unlessPermission(err error, fine ...error) error {
	for _, f := range fine {
		if errors.Is(err, f) {
			return nil
		}
	}
	if err == nil {
		return nil
	}
	return err
}

func processes() []Attack {
	return []Attack{
		{Name: "signal other processes", Try: func(t *Target) (string, error) {
			return eachOther(t, func(pid int) (string, error) { return "signal", unix.Kill(pid, 0) })
		}},
		{Name: "signal all processes", Try: func(*Target) (string, error) { return "kill(-1)", unix.Kill(-1, 0) }},
		{Name: "signal threads of others", Try: func(t *Target) (string, error) {
			return eachOther(t, func(pid int) (string, error) { return "tgkill", unix.Tgkill(pid, pid, 0) })
		}},
		{Name: "signal through a pidfd", Try: func(t *Target) (string, error) {
			return eachOther(t, func(pid int) (string, error) {
				fd, err := unix.PidfdOpen(pid, 0)
				if err != nil {
					return "", err
				}
				defer unix.Close(fd)
				return "pidfd", unix.PidfdSendSignal(fd, 0, nil, 0)
			})
		}},
		{Name: "be sent signals about a descriptor", Try: func(t *Target) (string, error) {
			_, err := unix.FcntlInt(0, unix.F_SETOWN, t.Pid)
			return "F_SETOWN", err
		}},
		{Name: "trace another process", Try: func(t *Target) (string, error) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			return eachOther(t, func(pid int) (string, error) {
				const seize = 0x4206
				if err := call(unix.SYS_PTRACE, seize, uintptr(pid)); err != nil {
					return "", err
				}
				_ = unix.PtraceDetach(pid)
				return "ptrace", nil
			})
		}},
		{Name: "ask to be traced", Try: func(*Target) (string, error) {
			// An operation that does not exist.
			return "ptrace", unlessPermission(call(unix.SYS_PTRACE, 0xffff, uintptr(os.Getpid())), unix.ESRCH, unix.EIO)
		}},
		{Name: "read the memory of others", Try: func(t *Target) (string, error) {
			b := make([]byte, 8)
			local := []unix.Iovec{{Base: &b[0]}}
			local[0].SetLen(len(b))
			return eachOther(t, func(pid int) (string, error) {
				_, err := unix.ProcessVMReadv(pid, local, []unix.RemoteIovec{{Base: 4096, Len: len(b)}}, 0)
				return "process_vm_readv", unlessPermission(err, unix.EFAULT)
			})
		}},
		{Name: "open the memory of others", Try: func(t *Target) (string, error) {
			return eachOther(t, func(pid int) (string, error) { return writable(fmt.Sprintf("/proc/%d/mem", pid)) })
		}},
		{Name: "change the priority of others", Try: func(t *Target) (string, error) {
			return eachOther(t, func(pid int) (string, error) {
				// As it is.
				now, err := unix.Getpriority(unix.PRIO_PROCESS, pid)
				if err != nil {
					return "", err
				}
				return "setpriority", unix.Setpriority(unix.PRIO_PROCESS, pid, 20-now)
			})
		}},
		{Name: "change the limits of others", Try: func(t *Target) (string, error) {
			return eachOther(t, func(pid int) (string, error) {
				var l unix.Rlimit
				return "prlimit", unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &l)
			})
		}},
		{Name: "become a real-time process", Try: func(*Target) (string, error) {
			priority := uint32(1)
			defer runtime.KeepAlive(&priority)
			const fifo = 1
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			if err := call(unix.SYS_SCHED_SETSCHEDULER, 0, fifo, uintptr(unsafe.Pointer(&priority))); err != nil {
				return "", err
			}
			priority = 0
			_ = call(unix.SYS_SCHED_SETSCHEDULER, 0, 0, uintptr(unsafe.Pointer(&priority)))
			return "SCHED_FIFO", nil
		}},
		{Name: "keep off other threads' CPUs", Try: func(*Target) (string, error) {
			var set unix.CPUSet
			set.Set(0)
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			return "sched_setaffinity", unix.SchedSetaffinity(0, &set)
		}},
		{Name: "become dumpable", Try: func(*Target) (string, error) {
			return "PR_SET_DUMPABLE", unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0)
		}},
		{Name: "outlive the shim", Try: func(*Target) (string, error) {
			return "PR_SET_PDEATHSIG", unix.Prctl(unix.PR_SET_PDEATHSIG, 0, 0, 0, 0)
		}},
		{Name: "share memory with others", Try: func(*Target) (string, error) {
			id, err := unix.SysvShmGet(0x77617a00, 4096, unix.IPC_CREAT|0o600)
			if err != nil {
				return "", err
			}
			_, _ = unix.SysvShmCtl(id, unix.IPC_RMID, nil)
			return "shmget", nil
		}},
		{Name: "open a message queue", Try: func(*Target) (string, error) {
			fd, _, errno := unix.Syscall6(unix.SYS_MQ_OPEN, text("escaped"), unix.O_CREAT|unix.O_RDWR, 0o600, 0, 0, 0)
			if errno != 0 {
				return "", errno
			}
			unix.Close(int(fd))
			return "mq_open", call(unix.SYS_MQ_UNLINK, text("escaped"))
		}},
	}
}
