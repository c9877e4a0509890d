package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/runner/cell"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/runner/cell/landlock"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/seccomp"
)

// beyond is more than there are system calls on any architecture.
const beyond = 1 << 10

// calls tries every system call that the cell allows under no condition, and then
// those which it allows under others.
func calls(dir string) error {
	file, err := os.Create(filepath.Join(dir, "file"))
	if err != nil {
		return err
	}
	directory, err := os.Open(dir)
	if err != nil {
		return err
	}
	tries := forbidden(file.Fd(), directory.Fd())
	allowed := map[uintptr]bool{}
	for _, rule := range cell.Policy(os.Getpid()).Rules {
		allowed[rule.Call] = allowed[rule.Call] || rule.Then == seccomp.Allow
	}
	if err := cell.Lock(); err != nil {
		return err
	}
	var wrong []error
	for n := range uintptr(beyond) {
		if allowed[n] || unfiltered(n) {
			continue
		}
		// No call gets anywhere with these arguments.
		if _, _, errno := unix.RawSyscall6(n, bad, bad, bad, bad, bad, bad); errno != unix.EPERM {
			wrong = append(wrong, fmt.Errorf("system call %d: %v", n, errno))
		}
	}
	for name, c := range tries {
		if _, _, errno := unix.RawSyscall6(c[0], c[1], c[2], c[3], c[4], c[5], c[6]); errno != unix.EPERM {
			wrong = append(wrong, fmt.Errorf("%s: %v", name, errno))
		}
	}
	runtime.KeepAlive(file)
	runtime.KeepAlive(directory)
	return errors.Join(wrong...)
}

// unfiltered are two calls of amd64, uretprobe and uprobe, that the kernel lets
// through all filters: only its own tracing can place them, others get SIGILL.
func unfiltered(call uintptr) bool {
	return runtime.GOARCH == "amd64" && (call == 335 || call == 336)
}

const bad = ^uintptr(0)

// page is somewhere in the memory of this process.
const page = uintptr(0x700000000000)

func forbidden(file, dir uintptr) map[string][7]uintptr {
	name := func(s string) uintptr {
		p, _ := unix.BytePtrFromString(s)
		keep = append(keep, p)
		return uintptr(unsafe.Pointer(p))
	}
	here := bad - 99 // AT_FDCWD
	const private = unix.MAP_PRIVATE | unix.MAP_ANONYMOUS
	const thread = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_SYSVSEM | unix.CLONE_THREAD
	rw := uintptr(unix.PROT_READ | unix.PROT_WRITE)
	return map[string][7]uintptr{
		"executable memory":         {unix.SYS_MMAP, 0, 4096, rw | unix.PROT_EXEC, private, bad, 0},
		"a file in memory":          {unix.SYS_MMAP, 0, 4096, rw, unix.MAP_PRIVATE, file, 0},
		"shared memory":             {unix.SYS_MMAP, 0, 4096, rw, unix.MAP_SHARED | unix.MAP_ANONYMOUS, bad, 0},
		"locked memory":             {unix.SYS_MMAP, 0, 4096, rw, private | unix.MAP_LOCKED, bad, 0},
		"memory made executable":    {unix.SYS_MPROTECT, page, 4096, unix.PROT_READ | unix.PROT_EXEC},
		"advice for others":         {unix.SYS_MADVISE, page, 4096, unix.MADV_HWPOISON},
		"a process":                 {unix.SYS_CLONE, uintptr(unix.SIGCHLD)},
		"a process in this memory":  {unix.SYS_CLONE, unix.CLONE_VM | unix.CLONE_VFORK | uintptr(unix.SIGCHLD)},
		"a user namespace":          {unix.SYS_CLONE, unix.CLONE_NEWUSER | uintptr(unix.SIGCHLD)},
		"a thread in a namespace":   {unix.SYS_CLONE, thread | unix.CLONE_NEWNET},
		"a signal to another":       {unix.SYS_TGKILL, 1, 1, 0},
		"a temporary file":          {unix.SYS_OPENAT, here, name("/"), unix.O_TMPFILE | unix.O_RDWR, 0o600},
		"a set-user-ID file":        {unix.SYS_OPENAT, here, name("/dev/null"), unix.O_CREAT | unix.O_RDWR, 0o4644},
		"a program file":            {unix.SYS_OPENAT, here, name("/dev/null"), unix.O_CREAT | unix.O_RDWR, 0o755},
		"a file by its directory":   {unix.SYS_OPENAT, dir, name("file"), unix.O_RDONLY, 0},
		"direct I/O":                {unix.SYS_OPENAT, here, name("/dev/null"), unix.O_DIRECT | unix.O_RDWR, 0},
		"a set-group-ID directory":  {unix.SYS_MKDIRAT, here, name("/tmp"), 0o2777},
		"a directory in another":    {unix.SYS_MKDIRAT, dir, name("new"), 0o777},
		"removal by its directory":  {unix.SYS_UNLINKAT, dir, name("file"), 0},
		"a link from a descriptor":  {unix.SYS_LINKAT, file, name(""), here, name("/x"), unix.AT_EMPTY_PATH},
		"a link's text by a number": {unix.SYS_READLINKAT, dir, name("x"), page, 10},
		"a symbolic link elsewhere": {unix.SYS_SYMLINKAT, name("x"), dir, name("y")},
		"another descriptor":        {unix.SYS_FCNTL, file, unix.F_DUPFD, 0},
		"signals for a descriptor":  {unix.SYS_FCNTL, file, unix.F_SETFL, unix.O_ASYNC},
		"the owner of signals":      {unix.SYS_FCNTL, file, unix.F_SETOWN, 1},
		"notices of a directory":    {unix.SYS_FCNTL, dir, unix.F_NOTIFY, 1},
		"a larger pipe":             {unix.SYS_FCNTL, file, unix.F_SETPIPE_SZ, 1 << 20},
		"a futex of others":         {unix.SYS_FUTEX, page, 0, 0},
		"a name for the process":    {unix.SYS_PRCTL, unix.PR_SET_NAME, name("x")},
		"a dumpable process":        {unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 1},
	}
}

// keep keeps what the garbage collector does not see.
var keep []*byte

// walls tries what Landlock denies, with Landlock alone.
func walls(dir string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer listener.Close()
	// What was made before is outside.
	abstract, err := net.Listen("unix", fmt.Sprintf("@landlock-%d", os.Getpid()))
	if err != nil {
		return err
	}
	defer abstract.Close()
	if err := noNewPrivs(); err != nil {
		return err
	}
	for _, d := range []string{"a", "b"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "a/true"), []byte("#!/bin/true\n"), 0o700); err != nil {
		return err
	}
	if err := landlock.Restrict(); err != nil {
		return err
	}
	parent := os.Getppid()
	var wrong []error
	denied := func(what string, got error, want error) {
		if !errors.Is(got, want) {
			wrong = append(wrong, fmt.Errorf("%s: %v instead of %v", what, got, want))
		}
	}
	denied("execute", exec.Command("/bin/true").Run(), unix.EACCES)
	denied("execute one's own", exec.Command(filepath.Join(dir, "a/true")).Run(), unix.EACCES)
	denied("character device", unix.Mknod(filepath.Join(dir, "null"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))), unix.EACCES)
	denied("block device", unix.Mknod(filepath.Join(dir, "disk"), unix.S_IFBLK|0o600, int(unix.Mkdev(7, 0))), unix.EACCES)
	denied("signal outside", unix.Kill(parent, 0), unix.EPERM)
	_, err = net.Dial("tcp", listener.Addr().String())
	denied("connect", err, unix.EACCES)
	_, err = net.Dial("unix", abstract.Addr().String())
	denied("abstract socket", err, unix.EPERM)
	denied("bind", bind(), unix.EACCES)
	denied("rename to another directory", os.Rename(filepath.Join(dir, "a/true"), filepath.Join(dir, "b/true")), nil)
	denied("link to another directory", os.Link(filepath.Join(dir, "b/true"), filepath.Join(dir, "a/true")), nil)
	if tty, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0); err != nil {
		wrong = append(wrong, err)
	} else {
		_, err = unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPTN)
		denied("control a device", err, unix.EACCES)
	}
	denied("signals between threads", threadsOfOneProcess(), nil)
	return errors.Join(wrong...)
}

// bind does what net.Listen does not: that asks for multipath TCP, which Landlock
// does not know.
func bind() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	return unix.Bind(s, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
}

func threadsOfOneProcess() error {
	tid := make(chan int)
	done := make(chan bool)
	go func() {
		runtime.LockOSThread()
		tid <- unix.Gettid()
		<-done
	}()
	err := unix.Tgkill(os.Getpid(), <-tid, unix.SIGURG)
	close(done)
	return err
}

func noNewPrivs() error {
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0); errno != 0 {
		return errno
	}
	return nil
}
