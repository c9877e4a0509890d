package escaped

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

func devices() []Attack {
	return []Attack{
		{Name: "open a device node of the image", Try: func(t *Target) (string, error) {
			return anyOf([]string{t.Image + "/disk", t.Image + "/kmsg"}, readDevice)
		}},
		{Name: "open a device node of a volume", Try: func(t *Target) (string, error) {
			return anyOf([]string{filepath.Join(t.Volume, "disk"), filepath.Join(t.Volume, "kmsg")}, readDevice)
		}},
		{Name: "make a device node", Try: func(t *Target) (string, error) {
			path := filepath.Join(t.Volume, "made")
			if err := unix.Mknod(path, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 11))); err != nil {
				return "", err
			}
			defer os.Remove(path)
			return readDevice(path)
		}},
		{Name: "open devices of the host", Try: func(*Target) (string, error) {
			return anyOf([]string{"/dev/mem", "/dev/kmsg", "/dev/port", "/dev/sda", "/dev/vda", "/dev/fuse", "/dev/kvm", "/dev/net/tun"}, func(path string) (string, error) {
				f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
				if err == nil {
					f.Close()
				}
				return path, err
			})
		}},
		{Name: "open a new terminal", Try: func(*Target) (string, error) {
			f, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
			if err == nil {
				f.Close()
			}
			return "/dev/ptmx", err
		}},
		{Name: "control a descriptor", Try: func(*Target) (string, error) {
			// That it is no terminal is what whoever may ask is told.
			_, err := unix.IoctlGetInt(0, unix.TIOCGPGRP)
			return "ioctl", unlessPermission(err, unix.ENOTTY)
		}},
		{Name: "type into the terminal", Try: func(*Target) (string, error) {
			return "TIOCSTI", unlessPermission(call(unix.SYS_IOCTL, 0, unix.TIOCSTI, text("x")), unix.ENOTTY)
		}},
	}
}

// readDevice opens without side effects and reads a little.
func readDevice(path string) (string, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return "", err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFREG {
		return "", fmt.Errorf("%s is a file", path)
	}
	b := make([]byte, 4096)
	n, err := unix.Read(fd, b)
	return fmt.Sprintf("%d bytes of %s", n, path), unlessPermission(err, unix.EAGAIN, unix.EPIPE)
}

func mounts() []Attack {
	return []Attack{
		{Name: "mount a file system", Try: func(t *Target) (string, error) {
			return t.onDirectory(func(dir string) error { return unix.Mount("tmpfs", dir, "tmpfs", 0, "size=4k") })
		}},
		{Name: "mount /proc", Try: func(t *Target) (string, error) {
			return t.onDirectory(func(dir string) error { return unix.Mount("proc", dir, "proc", 0, "") })
		}},
		{Name: "bind a directory", Try: func(t *Target) (string, error) {
			return t.onDirectory(func(dir string) error { return unix.Mount("/", dir, "", unix.MS_BIND, "") })
		}},
		{Name: "mount with a context of its own", Try: func(*Target) (string, error) {
			fd, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
			if err == nil {
				unix.Close(fd)
			}
			return "fsopen", err
		}},
		{Name: "clone a mount", Try: func(*Target) (string, error) {
			fd, err := unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
			if err == nil {
				unix.Close(fd)
			}
			return "open_tree", err
		}},
		{Name: "change a mount's attributes", Try: func(*Target) (string, error) {
			return "mount_setattr", unix.MountSetattr(unix.AT_FDCWD, "/", 0, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NODIRATIME})
		}},
		{Name: "make the root writable", Try: func(*Target) (string, error) {
			return "remount", unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND, "")
		}},
		{Name: "unmount", Try: func(*Target) (string, error) {
			// Nothing is mounted there.
			return "umount", unlessPermission(unix.Unmount("/nothing-is-here", 0), unix.ENOENT)
		}},
		{Name: "change the root", Try: func(*Target) (string, error) {
			return "pivot_root", unlessPermission(unix.PivotRoot("/nothing-is-here", "/nothing-is-here"), unix.ENOENT)
		}},
		{Name: "enter a user namespace", Try: func(*Target) (string, error) { return unshare(unix.CLONE_NEWUSER) }},
		{Name: "enter a mount namespace", Try: func(*Target) (string, error) { return unshare(unix.CLONE_NEWNS) }},
		{Name: "enter a network namespace", Try: func(*Target) (string, error) { return unshare(unix.CLONE_NEWNET) }},
		{Name: "start a process in namespaces", Try: func(*Target) (string, error) {
			pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, unix.CLONE_NEWUSER|unix.CLONE_NEWPID|uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
			if errno != 0 {
				return "", errno
			}
			if pid == 0 {
				unix.RawSyscall(unix.SYS_EXIT, 0, 0, 0)
			}
			return fmt.Sprintf("process %d", pid), nil
		}},
		{Name: "start a process with clone3", Try: func(*Target) (string, error) {
			args := make([]uint64, 8)
			defer runtime.KeepAlive(args)
			// The size says that there is nothing.
			return "clone3", unlessPermission(call(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&args[0])), 0), unix.EINVAL)
		}},
		{Name: "join the namespaces of others", Try: func(t *Target) (string, error) {
			return eachOther(t, func(pid int) (string, error) {
				return anyOf([]string{"mnt", "net", "pid"}, func(kind string) (string, error) {
					f, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
					if err != nil {
						return "", err
					}
					defer f.Close()
					return kind, inThread(func() error { return unix.Setns(int(f.Fd()), 0) })
				})
			})
		}},
		{Name: "join namespaces through a pidfd", Try: func(t *Target) (string, error) {
			return eachOther(t, func(pid int) (string, error) {
				fd, err := unix.PidfdOpen(pid, 0)
				if err != nil {
					return "", err
				}
				defer unix.Close(fd)
				return "setns", inThread(func() error { return unix.Setns(fd, unix.CLONE_NEWNET) })
			})
		}},
	}
}

func (t *Target) onDirectory(mount func(dir string) error) (string, error) {
	dir, err := os.MkdirTemp(t.Volume, "mount")
	if err != nil {
		return "", err
	}
	defer os.Remove(dir)
	if err := mount(dir); err != nil {
		return "", err
	}
	return "mount", unix.Unmount(dir, unix.MNT_DETACH)
}

// inThread makes a change to a thread that ends with it.
func inThread(change func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		result <- change()
	}()
	return <-result
}

func unshare(flags int) (string, error) {
	err := inThread(func() error {
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return err
		}
		err := unix.Unshare(flags)
		if flags == unix.CLONE_NEWUSER && errors.Is(err, unix.EINVAL) {
			return nil // nothing but the number of threads is against it
		}
		return err
	})
	return "unshare", err
}

func privileges() []Attack {
	return []Attack{
		{Name: "become another user", Try: func(*Target) (string, error) {
			return "setresuid", inThread(func() error { return call(unix.SYS_SETRESUID, 4711, 4711, 4711) })
		}},
		{Name: "join a group", Try: func(*Target) (string, error) {
			return "setgroups", inThread(func() error {
				group := uint32(42)
				defer runtime.KeepAlive(&group)
				return call(unix.SYS_SETGROUPS, 1, uintptr(unsafe.Pointer(&group)))
			})
		}},
		{Name: "get capabilities", Try: func(*Target) (string, error) {
			header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			all := [2]unix.CapUserData{{Effective: 1 << unix.CAP_SYS_ADMIN, Permitted: 1 << unix.CAP_SYS_ADMIN}}
			return "capset", inThread(func() error { return unix.Capset(&header, &all[0]) })
		}},
		{Name: "loosen the secure bits", Try: func(*Target) (string, error) {
			return "PR_SET_SECUREBITS", inThread(func() error { return unix.Prctl(unix.PR_SET_SECUREBITS, 0, 0, 0, 0) })
		}},
		{Name: "load another filter of system calls", Try: func(*Target) (string, error) {
			const strict = 0xffff // an operation that does not exist
			return "seccomp", unlessPermission(call(unix.SYS_SECCOMP, strict, 0, 0), unix.EINVAL)
		}},
	}
}

// kernel are system calls that ask the kernel itself for something. Most of them
// have arguments that make no sense: who is not permitted is told so first.
func kernel() []Attack {
	simple := func(name string, trap uintptr, fine error, args ...uintptr) Attack {
		return Attack{Name: name, Try: func(*Target) (string, error) { return "system call", unlessPermission(call(trap, args...), fine) }}
	}
	return []Attack{
		{Name: "load a BPF program", Try: func(*Target) (string, error) {
			// A map of one element.
			attr := [16]uint32{2, 4, 4, 1}
			defer runtime.KeepAlive(&attr)
			fd, _, errno := unix.Syscall(unix.SYS_BPF, 0, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
			if errno != 0 {
				return "", errno
			}
			unix.Close(int(fd))
			return "a map", nil
		}},
		{Name: "use io_uring", Try: func(*Target) (string, error) {
			var params [120]byte
			defer runtime.KeepAlive(&params)
			fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&params)), 0)
			if errno != 0 {
				return "", errno
			}
			unix.Close(int(fd))
			return "a ring", nil
		}},
		{Name: "count the kernel's events", Try: func(*Target) (string, error) {
			attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_CPU_CLOCK}
			attr.Size = uint32(unsafe.Sizeof(attr))
			fd, err := unix.PerfEventOpen(&attr, 0, -1, -1, 0)
			if err == nil {
				unix.Close(fd)
			}
			return "a counter", err
		}},
		{Name: "handle page faults", Try: func(*Target) (string, error) {
			fd, _, errno := unix.Syscall(unix.SYS_USERFAULTFD, unix.O_CLOEXEC, 0, 0)
			if errno != 0 {
				return "", errno
			}
			unix.Close(int(fd))
			return "userfaultfd", nil
		}},
		{Name: "watch the file system", Try: func(*Target) (string, error) {
			fd, err := unix.FanotifyInit(unix.FAN_CLASS_NOTIF, unix.O_RDONLY)
			if err == nil {
				unix.Close(fd)
			}
			return "fanotify", err
		}},
		{Name: "make a file in memory", Try: func(*Target) (string, error) {
			fd, err := unix.MemfdCreate("escaped", 0)
			if err == nil {
				unix.Close(fd)
			}
			return "memfd", err
		}},
		{Name: "read the kernel's log", Try: func(*Target) (string, error) {
			b := make([]byte, 64)
			const readAll = 3
			_, err := unix.Klogctl(readAll, b)
			return "syslog", err
		}},
		{Name: "set the host name", Try: func(*Target) (string, error) {
			name, err := os.Hostname()
			if err != nil {
				return "", err
			}
			return "sethostname", unix.Sethostname([]byte(name))
		}},
		simple("set the clock", unix.SYS_CLOCK_SETTIME, unix.EINVAL, unix.CLOCK_MONOTONIC, text("0000000000000000")),
		simple("load a kernel module", unix.SYS_INIT_MODULE, unix.ENOEXEC, text("not a module"), 12, text("")),
		simple("load a kernel module from a file", unix.SYS_FINIT_MODULE, unix.EBADF, ^uintptr(0), text(""), 0),
		simple("unload a kernel module", unix.SYS_DELETE_MODULE, unix.ENOENT, text("no_such_module"), unix.O_NONBLOCK),
		simple("restart the machine", unix.SYS_REBOOT, unix.EINVAL, 0, 0, 0, 0),
		simple("swap to a file", unix.SYS_SWAPON, unix.ENOENT, text("/no/such/file"), 0),
		simple("account for processes", unix.SYS_ACCT, unix.ENOENT, text("/no/such/file")),
		simple("change quotas", unix.SYS_QUOTACTL, unix.ENOENT, 0x80000200, text("/no/such/device"), 0, 0),
		simple("personalize the process", unix.SYS_PERSONALITY, nil, 0xffffffff),
		simple("move pages of others", unix.SYS_MIGRATE_PAGES, unix.EINVAL, 0, 0, 0, 0),
	}
}

func keys() []Attack {
	const processKeyring = ^uintptr(1) // -2
	return []Attack{
		{Name: "add a key", Try: func(*Target) (string, error) {
			return "add_key", call(unix.SYS_ADD_KEY, text("user"), text("escaped"), text("x"), 1, processKeyring)
		}},
		{Name: "ask for a key", Try: func(*Target) (string, error) {
			return "request_key", unlessPermission(call(unix.SYS_REQUEST_KEY, text("user"), text("no such key"), 0, 0), unix.ENOKEY)
		}},
		{Name: "join another session's keys", Try: func(*Target) (string, error) {
			_, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false)
			return "keyctl", unlessPermission(err, unix.ENOKEY)
		}},
	}
}
