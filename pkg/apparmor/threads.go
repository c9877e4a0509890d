package apparmor

import (
	"errors"
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sparing is the sixth argument of a call, of which the kernel reads four, that threads
// with the filter of spare do not make.
const sparing = 0x77617a65

// set makes this thread take on a profile.
func set(request []byte) unix.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_LSM_SET_SELF_ATTR, attrCurrent, uintptr(unsafe.Pointer(&request[0])), uintptr(len(request)), 0, 0, 0)
	return errno
}

// setAll makes every thread do so. The Go runtime calls for this thread first and sends
// signals to the others then, which few profiles let a confined thread do to one that is
// not: the runtime would wait for ever. So they are sent by a thread that the kernel only
// tells that its call has succeeded, and that ends.
func setAll(request []byte) unix.Errno {
	// The runtime ends the process if the others' calls do not end as this thread's.
	if errno := onThread(func() unix.Errno { return set(request) }); errno != 0 {
		return errno
	}
	errno := onThread(func() unix.Errno {
		if errno := spare(); errno != 0 {
			return errno
		}
		_, _, errno := syscall.AllThreadsSyscall6(unix.SYS_LSM_SET_SELF_ATTR, attrCurrent, uintptr(unsafe.Pointer(&request[0])), uintptr(len(request)), 0, 0, sparing)
		return errno
	})
	runtime.KeepAlive(request)
	return errno
}

// onThread calls do on a thread that has ended when onThread returns: nothing that it has
// taken on is left.
func onThread(do func() unix.Errno) unix.Errno {
	type result struct {
		thread int
		errno  unix.Errno
	}
	results := make(chan result)
	var run func()
	run = func() {
		runtime.LockOSThread()
		thread := unix.Gettid()
		if thread == os.Getpid() { // the first one ends with the process: keep it busy
			defer runtime.UnlockOSThread()
			done := make(chan struct{})
			go func() {
				defer close(done)
				run()
			}()
			<-done
			return
		}
		results <- result{thread, do()}
	}
	go run()
	r := <-results
	for !errors.Is(unix.Tgkill(os.Getpid(), r.thread, 0), unix.ESRCH) {
		time.Sleep(50 * time.Microsecond)
	}
	return r.errno
}

// spare loads a filter of system calls on this thread alone.
func spare() unix.Errno {
	const (
		succeed = unix.SECCOMP_RET_ERRNO // number 0
		allow   = unix.SECCOMP_RET_ALLOW
		// Offsets in struct seccomp_data.
		number, sixth = 0, 16 + 5*8
	)
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err.(unix.Errno)
	}
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: number},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_LSM_SET_SELF_ATTR, Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: sixth + lowHalf},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: sparing, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: succeed},
		{Code: unix.BPF_RET | unix.BPF_K, K: allow},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&program)))
	runtime.KeepAlive(filter)
	return errno
}

// lowHalf is the offset of the low 32 bits of an argument.
var lowHalf = func() uint32 {
	if one := uint64(1); *(*byte)(unsafe.Pointer(&one)) == 1 {
		return 0
	}
	return 4
}()
