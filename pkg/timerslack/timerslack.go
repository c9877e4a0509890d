// Package timerslack says how late the kernel may wake a thread that sleeps for a time
// (prctl(2), PR_SET_TIMERSLACK; poll and futex, too). Children inherit it from the thread
// that clones them, through exec.
//
// The Go runtime has a thread that looks after the others each 20 µs while a process is
// young. The shim and its runners are young for most of a short container's life: with the
// kernel's slack of 50 µs a tenth of the CPU that they took was for waking it. So they start
// with a coarse slack. Whoever runs programs of others, or a guest, returns to the
// kernel's.
//
// It is a part of the shim's quick start, which imports little.
package timerslack

import "syscall"

// Slack in nanoseconds.
type Slack uintptr

const (
	// Default is the kernel's, 50 µs.
	Default Slack = 50_000
	// Coarse is for processes of the shim, 1 ms: they sleep for nothing that is shorter.
	Coarse Slack = 1_000_000
)

// Set changes that of the calling thread. The caller is locked to it.
func Set(s Slack) error {
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_TIMERSLACK, uintptr(s), 0); errno != 0 {
		return errno
	}
	return nil
}

// Get returns that of the calling thread.
func Get() (Slack, error) {
	s, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_GET_TIMERSLACK, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return Slack(s), nil
}
