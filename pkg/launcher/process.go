package launcher

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/reaper"
)

// Process is one process of a container: the runner of a Wasm guest, or a
// native program. It is signalled through a pidfd, so that a signal never meets
// a stranger who got the pid.
type Process struct {
	Pid     int
	Handoff *Handoff // nil for a native program
	// Cgroup is the path of its cgroup below the roots of the hierarchies, if the
	// launcher has made it; else empty.
	Cgroup string

	pidfd     *os.File
	exits     <-chan reaper.Exit
	requested atomic.Int32 // the signal that a guest was ended for

	mu   sync.Mutex
	kept []*os.File // see Keep
}

// NewProcess takes charge of a child of the shim. exits is where its end
// arrives. handoff is nil for a native program.
func NewProcess(pid int, exits <-chan reaper.Exit, handoff *Handoff) (*Process, error) {
	p := &Process{Pid: pid, Handoff: handoff, exits: exits}
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if errors.Is(err, unix.EINVAL) { // before Linux 5.10
		fd, err = unix.PidfdOpen(pid, 0)
	}
	if errors.Is(err, unix.ESRCH) { // ended, and reaped, already: exits tells
		return p, nil
	}
	if err != nil {
		return nil, fmt.Errorf("pidfd_open(%d): %w", pid, err)
	}
	p.pidfd = os.NewFile(uintptr(fd), "pidfd")
	return p, nil
}

// AtEnd calls f as soon as the process has ended, which is before its parent has
// handled SIGCHLD. f may also be called at Release.
func (p *Process) AtEnd(f func()) {
	if p.pidfd == nil {
		return
	}
	conn, err := p.pidfd.SyscallConn()
	if err != nil {
		return
	}
	go func() {
		_ = conn.Read(func(fd uintptr) bool {
			n, _ := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
			return n > 0
		})
		f()
	}()
}

// Keep holds a file until LetGo or Release: the last to hold a namespace takes it
// apart, which would be the process itself at its end, before anybody hears of it.
func (p *Process) Keep(f *os.File) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept = append(p.kept, f)
}

// LetGo closes what was kept. It returns when that is done, also by another call.
func (p *Process) LetGo() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.kept {
		f.Close()
	}
	p.kept = nil
}

// Wait returns when the process has ended. It must be called exactly once. The
// status is the one that the signal asked for would have given, if a guest was
// killed for that signal.
func (p *Process) Wait() (e reaper.Exit, outOfMemory bool) {
	e = <-p.exits
	if sig := p.requested.Load(); sig != 0 && e.Signal == unix.SIGKILL {
		e.Signal = unix.Signal(sig)
		e.Status = 128 + uint32(sig)
	}
	if p.Handoff != nil {
		outOfMemory = p.Handoff.OutOfMemory()
	}
	return e, outOfMemory
}

// Signal sends sig. WASI has no signals, and a Go signal handler may never run
// while a guest spins, so for a guest the default action of the signal is
// carried out: SIGKILL where that is to terminate, nothing where it is ignored. A
// graceful guest may serve its connections after the first SIGTERM or SIGINT.
//
// The error is NotFound if the process has ended.
func (p *Process) Signal(sig unix.Signal) error {
	if p.Handoff != nil {
		switch defaultAction(sig) {
		case ignore:
			return nil
		case terminate:
			if p.Handoff.Stop(sig) {
				return nil
			}
			p.requested.CompareAndSwap(0, int32(sig))
			sig = unix.SIGKILL
		case stop, proceed:
		}
	}
	return p.send(sig)
}

// DiesOf tells whether Signal(sig) ends the process whatever it makes of it, or tells
// a graceful guest to end.
func (p *Process) DiesOf(sig unix.Signal) bool {
	return sig == unix.SIGKILL || p.Handoff != nil && defaultAction(sig) == terminate
}

// Asks tells whether Signal(sig) would only tell a graceful guest to end.
func (p *Process) Asks(sig unix.Signal) bool {
	return p.Handoff != nil && p.Handoff.asks(sig)
}

func (p *Process) send(sig unix.Signal) error {
	err := p.sendByPidfd(sig)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ESRCH), errors.Is(err, os.ErrProcessDone):
		return fmt.Errorf("process %d has finished: %w", p.Pid, errdefs.ErrNotFound)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("signal %d: %w", int(sig), errdefs.ErrInvalidArgument)
	default:
		return fmt.Errorf("send signal %d to process %d: %w", int(sig), p.Pid, err)
	}
}

// sendByPidfd holds the pidfd open meanwhile: after a Release, its number may be that
// of another process's.
func (p *Process) sendByPidfd(sig unix.Signal) error {
	if p.pidfd == nil {
		return os.ErrProcessDone
	}
	conn, err := p.pidfd.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	if conn.Control(func(fd uintptr) { sent = unix.PidfdSendSignal(int(fd), sig, nil, 0) }) != nil {
		return os.ErrProcessDone // it is closed
	}
	return sent
}

// Discard ends a process that nobody gets to know.
func (p *Process) Discard() {
	_ = p.Signal(unix.SIGKILL)
	p.Wait()
	p.Release()
}

// Release gives back what a process that has ended holds; signals are NotFound
// from then on.
func (p *Process) Release() {
	if p.Handoff != nil {
		p.Handoff.Close()
	}
	if p.pidfd != nil {
		p.pidfd.Close()
	}
	p.LetGo()
}

type action int

const (
	terminate action = iota
	ignore
	stop
	proceed
)

// defaultAction is what Linux does for a process without a handler, signal(7).
func defaultAction(sig unix.Signal) action {
	switch sig {
	case unix.SIGCHLD, unix.SIGURG, unix.SIGWINCH:
		return ignore
	case unix.SIGSTOP, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU:
		return stop
	case unix.SIGCONT, 0: // 0 only asks whether the process is there
		return proceed
	default:
		return terminate
	}
}
