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

// calls tries every system call that the cell of such sockets allows under no
// condition, and then those which it allows under others.
func calls(dir string, s cell.Sockets) error {
	file, err := os.Create(filepath.Join(dir, "file"))
	if err != nil {
		return err
	}
	directory, err := os.Open(dir)
	if err != nil {
		return err
	}
	tries := forbidden(file.Fd(), directory.Fd())
	for name, c := range forbiddenSockets(s) {
		tries[name] = c
	}
	allowed := map[uintptr]bool{}
	for _, rule := range policy(s).Rules {
		allowed[rule.Call] = allowed[rule.Call] || rule.Then == seccomp.Allow
	}
	if err := enter(s); err != nil {
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
		"executable memory":        {unix.SYS_MMAP, 0, 4096, rw | unix.PROT_EXEC, private, bad, 0},
		"a file in memory":         {unix.SYS_MMAP, 0, 4096, rw, unix.MAP_PRIVATE, file, 0},
		"shared memory":            {unix.SYS_MMAP, 0, 4096, rw, unix.MAP_SHARED | unix.MAP_ANONYMOUS, bad, 0},
		"locked memory":            {unix.SYS_MMAP, 0, 4096, rw, private | unix.MAP_LOCKED, bad, 0},
		"memory made executable":   {unix.SYS_MPROTECT, page, 4096, unix.PROT_READ | unix.PROT_EXEC},
		"advice for others":        {unix.SYS_MADVISE, page, 4096, unix.MADV_HWPOISON},
		"a process":                {unix.SYS_CLONE, uintptr(unix.SIGCHLD)},
		"a process in this memory": {unix.SYS_CLONE, unix.CLONE_VM | unix.CLONE_VFORK | uintptr(unix.SIGCHLD)},
		"a user namespace":         {unix.SYS_CLONE, unix.CLONE_NEWUSER | uintptr(unix.SIGCHLD)},
		"a thread in a namespace":  {unix.SYS_CLONE, thread | unix.CLONE_NEWNET},
		"a signal to another":      {unix.SYS_TGKILL, 1, 1, 0},
		"a temporary file":         {unix.SYS_OPENAT, here, name("/"), unix.O_TMPFILE | unix.O_RDWR, 0o600},
		"a set-user-ID file":       {unix.SYS_OPENAT, here, name("/dev/null"), unix.O_CREAT | unix.O_RDWR, 0o4644},
		"a program file":           {unix.SYS_OPENAT, here, name("/dev/null"), unix.O_CREAT | unix.O_RDWR, 0o755},
		"direct I/O":               {unix.SYS_OPENAT, here, name("/dev/null"), unix.O_DIRECT | unix.O_RDWR, 0},
		"a set-group-ID directory": {unix.SYS_MKDIRAT, here, name("/tmp"), 0o2777},
		"a link from a descriptor": {unix.SYS_LINKAT, file, name(""), here, name("/x"), unix.AT_EMPTY_PATH},
		"another descriptor":       {unix.SYS_FCNTL, file, unix.F_DUPFD, 0},
		"signals for a descriptor": {unix.SYS_FCNTL, file, unix.F_SETFL, unix.O_ASYNC},
		"the owner of signals":     {unix.SYS_FCNTL, file, unix.F_SETOWN, 1},
		"notices of a directory":   {unix.SYS_FCNTL, dir, unix.F_NOTIFY, 1},
		"a larger pipe":            {unix.SYS_FCNTL, file, unix.F_SETPIPE_SZ, 1 << 20},
		"a futex of others":        {unix.SYS_FUTEX, page, 0, 0},
		"a name for the process":   {unix.SYS_PRCTL, unix.PR_SET_NAME, name("x")},
		"a dumpable process":       {unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 1},
	}
}

// forbiddenSockets are calls for sockets that go too far where others are allowed.
func forbiddenSockets(s cell.Sockets) map[string][7]uintptr {
	tries := map[string][7]uintptr{}
	if s >= cell.ServeSockets {
		tries["data out of band"] = [7]uintptr{unix.SYS_RECVFROM, bad, page, 1, unix.MSG_OOB}
		tries["messages of errors"] = [7]uintptr{unix.SYS_RECVFROM, bad, page, 1, unix.MSG_ERRQUEUE}
		tries["a connection by sending"] = [7]uintptr{unix.SYS_SENDTO, bad, page, 1, unix.MSG_FASTOPEN}
	}
	if isGateway() {
		tries["a pipe that keeps messages apart"] = [7]uintptr{unix.SYS_PIPE2, page, unix.O_CLOEXEC | unix.O_DIRECT}
		tries["a pipe that tells of files"] = [7]uintptr{unix.SYS_PIPE2, page, unix.O_EXCL}
		tries["a filter for a connection"] = [7]uintptr{unix.SYS_SETSOCKOPT, bad, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, page, 16}
		tries["the option of that number of TCP"] = [7]uintptr{unix.SYS_SETSOCKOPT, bad, unix.IPPROTO_TCP, unix.SO_LINGER, page, 8}
		tries["a timer of CPU time"] = [7]uintptr{unix.SYS_SETITIMER, uintptr(unix.ITIMER_PROF), 0, 0}
	}
	if s == cell.ServeSockets {
		tries["a datagram to an address"] = [7]uintptr{unix.SYS_SENDTO, bad, page, 1, 0, page, 16}
	}
	if s >= cell.AskSockets {
		tries["a connection by a datagram"] = [7]uintptr{unix.SYS_SENDTO, bad, page, 1, unix.MSG_FASTOPEN, page, 16}
		tries["a filter for a socket"] = [7]uintptr{unix.SYS_SETSOCKOPT, bad, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, page, 16}
		tries["a protocol above TCP"] = [7]uintptr{unix.SYS_SETSOCKOPT, bad, unix.IPPROTO_TCP, unix.TCP_ULP, page, 3}
	}
	if s < cell.OpenSockets {
		return tries
	}
	for name, c := range map[string][3]uintptr{
		"a raw socket":                     {unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP},
		"a raw socket of IPv6":             {unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_ICMPV6},
		"a ping socket":                    {unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_ICMP},
		"a packet socket":                  {unix.AF_PACKET, unix.SOCK_DGRAM, 0},
		"a netlink socket":                 {unix.AF_NETLINK, unix.SOCK_DGRAM, unix.NETLINK_ROUTE},
		"a unix socket":                    {unix.AF_UNIX, unix.SOCK_STREAM, 0},
		"a unix datagram socket":           {unix.AF_UNIX, unix.SOCK_DGRAM, 0},
		"a socket to the hypervisor":       {unix.AF_VSOCK, unix.SOCK_STREAM, 0},
		"the kernel's cryptography":        {unix.AF_ALG, unix.SOCK_SEQPACKET, 0},
		"TCP by several ways":              {unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP},
		"another protocol for streams":     {unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP},
		"a family in the upper half":       {1<<32 | unix.AF_INET, unix.SOCK_STREAM, 0},
		"a type that the kernel has twice": {unix.AF_INET, unix.SOCK_STREAM | 1<<20, 0},
	} {
		tries[name] = [7]uintptr{unix.SYS_SOCKET, c[0], c[1], c[2]}
	}
	return tries
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
	if err := landlock.Restrict(false); err != nil {
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
