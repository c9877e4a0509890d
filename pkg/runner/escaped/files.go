package escaped

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

func files() []Attack {
	return []Attack{
		{Name: "read a host file by its path", Try: func(t *Target) (string, error) { return t.token(t.Secret) }},
		{Name: "climb out of the root with ..", Try: func(t *Target) (string, error) {
			return t.token(strings.Repeat("/..", 40) + t.Secret)
		}},
		{Name: "follow symbolic links of the image to the host", Try: func(t *Target) (string, error) {
			return t.through(t.Image+"/to-root", t.Image+"/to-init", t.Image+"/to-parent")
		}},
		{Name: "read a host file through /proc", Try: func(t *Target) (string, error) {
			return t.through("/proc/1/root", "/proc/self/root", "/proc/1/cwd", "/proc/self/cwd", fmt.Sprintf("/proc/%d/root", t.Pid))
		}},
		{Name: "read a host file by its handle", Try: openByHandle},
		{Name: "leave the root with chroot", Try: leaveRoot},
		{Name: "find the cache, the bundle or the daemon's files", Try: func(t *Target) (string, error) {
			return anyOf(t.Hidden, func(path string) (string, error) {
				_, err := os.Stat(path)
				return path, err
			})
		}},
		{Name: "list processes of others", Try: listProcesses},
		{Name: "read the environment of others", Try: func(t *Target) (string, error) {
			return eachOther(t, func(pid int) (string, error) {
				data, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
				return fmt.Sprintf("%d bytes", len(data)), err
			})
		}},
		{Name: "write to the kernel's settings", Try: func(*Target) (string, error) {
			return writable("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sysrq-trigger", "/sys/kernel/uevent_helper", "/sys/power/state")
		}},
		{Name: "write to cgroups", Try: func(*Target) (string, error) {
			matches, _ := filepath.Glob("/sys/fs/cgroup/*/release_agent")
			more, _ := filepath.Glob("/sys/fs/cgroup/*/cgroup.procs")
			return writable(append(append(matches, more...), "/sys/fs/cgroup/cgroup.procs")...)
		}},
		{Name: "write one's own memory", Try: func(*Target) (string, error) { return writable("/proc/self/mem") }},
		{Name: "leave a set-user-ID program on a volume", Try: func(t *Target) (string, error) {
			path := filepath.Join(t.Volume, "setuid")
			fd, err := unix.Open(path, unix.O_CREAT|unix.O_RDWR, 0o4755)
			if err != nil {
				return "", err
			}
			unix.Close(fd)
			return path, os.Remove(path)
		}},
		{Name: "make a file a program afterwards", Try: func(t *Target) (string, error) {
			path := filepath.Join(t.Volume, "program")
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				return "", err
			}
			defer os.Remove(path)
			return path, unix.Chmod(path, 0o4755)
		}},
		{Name: "give a file away", Try: func(t *Target) (string, error) {
			path := filepath.Join(t.Volume, "gift")
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				return "", err
			}
			defer os.Remove(path)
			return path, unix.Chown(path, 4711, 4711)
		}},
		{Name: "set extended attributes", Try: func(t *Target) (string, error) {
			path := filepath.Join(t.Volume, "attributes")
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				return "", err
			}
			defer os.Remove(path)
			return path, unix.Setxattr(path, "trusted.escaped", []byte("x"), 0)
		}},
	}
}

func (t *Target) through(roots ...string) (string, error) {
	return anyOf(roots, func(root string) (string, error) { return t.token(root + t.Secret) })
}

func anyOf(list []string, try func(string) (string, error)) (string, error) {
	ways := make([]func() (string, error), len(list))
	for i, s := range list {
		ways[i] = func() (string, error) { return try(s) }
	}
	if len(ways) == 0 {
		return "", errors.New("there is none")
	}
	return first(ways...)
}

// writable opens for writing, and writes nothing.
func writable(paths ...string) (string, error) {
	return anyOf(paths, func(path string) (string, error) {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err == nil {
			f.Close()
		}
		return path, err
	})
}

// openByHandle asks for the root of the file system that a file is in, whose inode
// has a low number (CVE-2014-3519 in another guise: "shocker").
func openByHandle(t *Target) (string, error) {
	handle, _, err := unix.NameToHandleAt(unix.AT_FDCWD, "/", 0)
	if err != nil {
		return "", err
	}
	root, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(root)
	fd, err := unix.OpenByHandleAt(root, handle, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	unix.Close(fd)
	return "a directory by its handle", nil
}

func leaveRoot(t *Target) (string, error) {
	dir, err := os.MkdirTemp(t.Volume, "root")
	if err != nil {
		return "", err
	}
	defer os.Remove(dir)
	root, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(root)
	if err := unix.Chroot(dir); err != nil {
		return "", err
	}
	// Back, for the next attacks.
	defer func() { _ = errors.Join(unix.Fchdir(root), unix.Chroot(".")) }()
	if err := unix.Chdir(strings.Repeat("../", 40)); err != nil {
		return "", err
	}
	return t.token("." + t.Secret)
}

func listProcesses(*Target) (string, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return "", err
	}
	var others int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err == nil && pid != os.Getpid() {
			others++
		}
	}
	if others == 0 {
		return "", errors.New("/proc has no others")
	}
	return fmt.Sprintf("%d processes", others), nil
}

func descriptors() []Attack {
	return []Attack{
		{Name: "climb from an inherited descriptor", Try: func(t *Target) (string, error) {
			return eachDescriptor(func(fd int) (string, error) {
				f, err := unix.Openat(fd, strings.Repeat("../", 40)+t.Secret, unix.O_RDONLY, 0)
				if err != nil {
					return "", err
				}
				defer unix.Close(f)
				b := make([]byte, 100)
				n, err := unix.Read(f, b)
				if err != nil || !strings.Contains(string(b[:max(n, 0)]), t.Token) {
					return "", fmt.Errorf("descriptor %d leads elsewhere (%w)", fd, err)
				}
				return fmt.Sprintf("the secret by descriptor %d", fd), nil
			})
		}},
		{Name: "find an inherited file or directory", Try: inheritedFiles},
		{Name: "open an inherited descriptor for more", Try: func(*Target) (string, error) {
			return eachDescriptor(func(fd int) (string, error) {
				name := fmt.Sprintf("/proc/self/fd/%d", fd)
				f, err := os.OpenFile(name, os.O_RDWR, 0)
				if err == nil {
					f.Close()
				}
				return name, err
			})
		}},
		{Name: "write to the shim's binary", Try: func(*Target) (string, error) { return writable("/proc/self/exe") }},
		{Name: "read the shim's binary", Try: func(*Target) (string, error) {
			f, err := os.Open("/proc/self/exe")
			if err == nil {
				f.Close()
			}
			return "/proc/self/exe", err
		}},
		{Name: "take a descriptor of another process", Try: func(t *Target) (string, error) {
			return eachOther(t, func(pid int) (string, error) {
				fd, err := unix.PidfdOpen(pid, 0)
				if err != nil {
					return "", err
				}
				defer unix.Close(fd)
				got, err := unix.PidfdGetfd(fd, 0, 0)
				if err == nil {
					unix.Close(got)
				}
				return "its stdin", err
			})
		}},
		{Name: "send the shim a descriptor", Try: func(*Target) (string, error) {
			return eachDescriptor(func(fd int) (string, error) {
				err := unix.Sendmsg(fd, []byte(" "), unix.UnixRights(0), nil, unix.MSG_NOSIGNAL)
				return fmt.Sprintf("over %d", fd), err
			})
		}},
	}
}

// firstInherited is the first descriptor behind stdio.
const firstInherited = 3

func eachDescriptor(try func(fd int) (string, error)) (string, error) {
	var last error = errors.New("there are none")
	for fd := firstInherited; fd < 64; fd++ {
		loot, err := try(fd)
		if err == nil {
			return loot, nil
		}
		if !errors.Is(err, unix.EBADF) && !errors.Is(err, unix.ENOENT) {
			last = fmt.Errorf("descriptor %d: %w", fd, err)
		}
	}
	return "", last
}

// inheritedFiles finds regular files, directories and links. The control socket
// and what the Go runtime polls with are neither, and the guest itself has the root.
func inheritedFiles(*Target) (string, error) {
	var root unix.Stat_t
	if err := unix.Stat("/", &root); err != nil {
		return "", err
	}
	return eachDescriptor(func(fd int) (string, error) {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return "", err
		}
		if st.Dev == root.Dev && st.Ino == root.Ino {
			return "", errors.New("it is the root")
		}
		switch kind := st.Mode & unix.S_IFMT; kind {
		case unix.S_IFREG, unix.S_IFDIR, unix.S_IFBLK, unix.S_IFLNK:
			return fmt.Sprintf("descriptor %d of the kind %#o", fd, kind), nil
		default:
			return "", fmt.Errorf("it is of the kind %#o", kind)
		}
	})
}

// eachOther tries on the parent, on pid 1 and on the target.
func eachOther(t *Target, try func(pid int) (string, error)) (string, error) {
	var pids []string
	for _, pid := range []int{os.Getppid(), 1, t.Pid} {
		// In the container's own namespace, the number may be that of a thread here.
		_, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", pid))
		if pid > 0 && pid != os.Getpid() && err != nil {
			pids = append(pids, strconv.Itoa(pid))
		}
	}
	return anyOf(pids, func(s string) (string, error) {
		pid, _ := strconv.Atoi(s)
		loot, err := try(pid)
		return fmt.Sprintf("%s of process %d", loot, pid), err
	})
}

// call makes a system call whose pointers are ps.
func call(trap uintptr, args ...uintptr) error {
	args = append(args, 0, 0, 0, 0, 0, 0)
	if _, _, errno := unix.Syscall6(trap, args[0], args[1], args[2], args[3], args[4], args[5]); errno != 0 {
		return errno
	}
	return nil
}

// text is a C string.
func text(s string) uintptr {
	b := append([]byte(s), 0)
	pinned = append(pinned, b)
	return uintptr(unsafe.Pointer(&b[0]))
}

// pinned is kept for system calls.
var pinned [][]byte
