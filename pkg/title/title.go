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
// what a native program has after exec. To stop them for a moment costs less than to
// write to /proc/self/task: a thread that somebody has looked up there takes the entry
// away at its end, after the parent has been told of the end of the process, and a
// parent that reaps the process just then spins until that is done (Linux 6.18,
// release_task), for the rest of its time on the CPU.
func SetName(file string) error {
	name := make([]byte, maxName+1)
	copy(name[:maxName], path.Base(file))
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_PRCTL, unix.PR_SET_NAME, uintptr(unsafe.Pointer(&name[0])), 0)
	runtime.KeepAlive(name)
	if errno != 0 {
		return fmt.Errorf("name the process: %w", errno)
	}
	return nil
}
