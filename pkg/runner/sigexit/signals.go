// Package sigexit ends the process with status 128+n when signal n arrives whose
// default action is to terminate.
//
// Neither of the usual ways works in a runner. As pid 1 of its namespace it is
// not ended by default actions at all. And a handler written in Go needs the
// scheduler, which may wait for ever for a guest that spins, because generated
// code cannot be preempted. So the handler is two instructions of machine code
// that the kernel calls directly.
package sigexit

import "syscall"

// firstRealtime and lastRealtime are the signals that the kernel keeps for
// programs.
const (
	firstRealtime = 32
	lastRealtime  = 64
)

// terminating returns the signals that end a process by default, see signal(7).
//
// Left out are SIGKILL, which nobody can handle; SIGPIPE, which becomes an
// error of the write; what the Go runtime needs for itself: SIGPROF, SIGURG, SIGSYS and
// the faults SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGTRAP; and the signals 32 to
// 34, of which Go and C libraries use some between threads.
func terminating() []syscall.Signal {
	signals := []syscall.Signal{
		syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGABRT,
		syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM, syscall.SIGTERM,
		syscall.SIGSTKFLT, syscall.SIGXCPU, syscall.SIGXFSZ, syscall.SIGVTALRM,
		syscall.SIGIO, syscall.SIGPWR,
	}
	for s := firstRealtime + 3; s <= lastRealtime; s++ {
		signals = append(signals, syscall.Signal(s))
	}
	return signals
}
