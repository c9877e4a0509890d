// Package title changes how a process appears in ps, top and docker top.
package title

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"runtime"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxName is the longest name of a thread in bytes, without its final zero byte.
const maxName = 15

// HideFirstArgument removes argv[0] from what /proc/<pid>/cmdline shows, and
// from os.Args.
//
// The kernel shows the memory into which it copied the arguments at exec, which
// is also where the strings of os.Args lie. So the arguments are moved there to
// the front and the rest is filled with zero bytes, which ps does not show.
// PR_SET_MM would do it exactly, but not without CAP_SYS_RESOURCE.
func HideFirstArgument() {
	if len(os.Args) == 0 {
		return
	}
	area := argumentArea(os.Args)
	rest := make([]string, len(os.Args)-1)
	for i, arg := range os.Args[1:] {
		rest[i] = strings.Clone(arg)
	}
	os.Args = rest
	if area == nil {
		return // argv was not laid out by the kernel: leave it alone
	}
	var shown bytes.Buffer
	for _, arg := range rest {
		shown.WriteString(arg)
		shown.WriteByte(0)
	}
	clear(area[copy(area, shown.Bytes()):])
}

// argumentArea returns the memory that holds args, each with its final zero
// byte, or nil if they do not lie one behind the other.
func argumentArea(args []string) []byte {
	begin := unsafe.StringData(args[0])
	next := uintptr(unsafe.Pointer(begin))
	for _, arg := range args {
		if len(arg) > 0 && uintptr(unsafe.Pointer(unsafe.StringData(arg))) != next {
			return nil
		}
		next += uintptr(len(arg)) + 1
	}
	return unsafe.Slice(begin, next-uintptr(unsafe.Pointer(begin)))
}

// SetName gives all threads the last element of a path as their name, which is
// what a native program has after exec. With /proc that takes no more than writing;
// else all threads are stopped for a moment.
func SetName(file string) error {
	name := make([]byte, maxName+1)
	n := copy(name[:maxName], path.Base(file))
	if writeNames(name[:n]) {
		return nil
	}
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_PRCTL, unix.PR_SET_NAME, uintptr(unsafe.Pointer(&name[0])), 0)
	runtime.KeepAlive(name)
	if errno != 0 {
		return fmt.Errorf("name the process: %w", errno)
	}
	return nil
}

// writeNames names the threads that there are now by way of /proc. A thread that
// is being made has the name of the one that makes it.
func writeNames(name []byte) bool {
	const dir = "/proc/self/task/"
	tasks, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(tasks)
	var entries [1024]byte // mostly there are a few threads
	for {
		n, err := unix.ReadDirent(tasks, entries[:])
		if err != nil || n == 0 {
			return err == nil
		}
		_, _, threads := unix.ParseDirent(entries[:n], -1, nil)
		for _, thread := range threads {
			if err := write(tasks, thread+"/comm", name); err != nil {
				return false
			}
		}
	}
}

func write(dir int, name string, content []byte) error {
	fd, err := unix.Openat(dir, name, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, content)
	return err
}
