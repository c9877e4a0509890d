// Package reaper collects the exit statuses of all children of the shim.
//
// The shim is a child subreaper: besides the programs that it starts (runc,
// loggers) it inherits container processes when `runc create` ends, and the
// orphans that native containers leave. All of them must be waited for, so one
// place calls wait4(-1) and hands the statuses out. os/exec's own Wait must not
// be used in the shim: it would race with that call.
package reaper

import (
	"context"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"sync"
	"time"

	"github.com/containerd/go-runc"
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/timerslack"
)

// Exit is how a child ended: Status is its exit code, or 128+n after signal n.
type Exit struct {
	Pid    int
	Status uint32
	// Signal is the signal that ended the process; 0 if it exited by itself.
	Signal unix.Signal
	At     time.Time
}

// Reaper is used by one process at most: wait4(-1) takes every child.
type Reaper struct {
	mu       sync.Mutex
	waiters  map[int]chan Exit
	unknown  map[int]Exit // exits that an open Adoption may still claim
	adopting int
}

// New returns a Reaper; Run must be running for anything to be reaped.
func New() *Reaper {
	return &Reaper{waiters: make(map[int]chan Exit), unknown: make(map[int]Exit)}
}

// Run makes the process a child subreaper and reaps until ctx ends.
func (r *Reaper) Run(ctx context.Context) error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return err
	}
	sigs := make(chan os.Signal, 1) // one is enough: every round reaps all
	signal.Notify(sigs, unix.SIGCHLD)
	go func() {
		defer signal.Stop(sigs)
		for {
			r.Reap()
			select {
			case <-sigs:
			case <-ctx.Done():
				return
			}
		}
	}()
	return nil
}

// Reap collects all children that have ended. Run does so after every SIGCHLD, which
// has a long way through the Go runtime: who learns of an end earlier may call it.
//
// The lock spans the wait and the look-up, so that a child cannot end between its
// start and its registration.
func (r *Reaper) Reap() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		var ws unix.WaitStatus
		pid, err := unix.Wait4(-1, &ws, unix.WNOHANG, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		e := Exit{Pid: pid, Status: uint32(ws.ExitStatus()), At: time.Now()}
		if ws.Signaled() {
			e.Signal = ws.Signal()
			e.Status = 128 + uint32(e.Signal)
		}
		if ch, ok := r.waiters[pid]; ok {
			delete(r.waiters, pid)
			ch <- e // buffered, and sent once
		} else if r.adopting > 0 {
			r.unknown[pid] = e
		}
	}
}

// StartCommand starts c, a program of others (runc, a hook, a logger) or one that starts
// such, and returns the channel on which its exit arrives once. It does not inherit the
// shim's timer slack. Call Flush after the exit if c copies output.
func (r *Reaper) StartCommand(c *exec.Cmd) (<-chan Exit, error) {
	if c.SysProcAttr != nil && c.SysProcAttr.Pdeathsig != 0 {
		return r.startTied(c)
	}
	return r.start(c)
}

// startTied starts a program that is to end with the shim. The kernel sends Pdeathsig when
// the thread ends that has started the program, which no thread of Go's may do before.
func (r *Reaper) startTied(c *exec.Cmd) (<-chan Exit, error) {
	started := make(chan error)
	out := make(chan Exit, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		exits, err := r.start(c)
		started <- err
		if err == nil {
			out <- <-exits
		}
	}()
	return out, <-started
}

func (r *Reaper) start(c *exec.Cmd) (<-chan Exit, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if slack, err := timerslack.Get(); err == nil && slack != timerslack.Default {
		if err := timerslack.Set(timerslack.Default); err != nil {
			return nil, os.NewSyscallError("prctl", err)
		}
		defer timerslack.Set(slack)
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	return r.wait(c.Process.Pid), nil
}

// Alone calls f, which must not use r, while no child that r starts is on its way to its
// program: until then it has a copy of every descriptor of this process.
func (r *Reaper) Alone(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

// Flush waits until everything that an ended command wrote was copied, and
// frees what os/exec holds for it.
func Flush(c *exec.Cmd) {
	_ = c.Wait() // "no child processes": the status was reaped here
	// Therefore os.Process would keep its pidfd until the next garbage collection.
	_ = c.Process.Release()
}

func (r *Reaper) wait(pid int) <-chan Exit {
	ch := make(chan Exit, 1)
	r.waiters[pid] = ch
	return ch
}

// Adoption is a time during which a process may become a child of ours without
// having been started by us; exits of unknown processes are kept meanwhile.
type Adoption struct {
	r    *Reaper
	once sync.Once
}

// Adopt opens an Adoption. The caller must call Done.
func (r *Reaper) Adopt() *Adoption {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.adopting++
	return &Adoption{r: r}
}

// Claim returns the channel on which the exit of the adopted process pid
// arrives once; it may have arrived already.
func (a *Adoption) Claim(pid int) <-chan Exit {
	a.r.mu.Lock()
	defer a.r.mu.Unlock()
	ch := make(chan Exit, 1)
	if e, ok := a.r.unknown[pid]; ok {
		delete(a.r.unknown, pid)
		ch <- e
		return ch
	}
	a.r.waiters[pid] = ch
	return ch
}

// Kill ends a child that has been claimed and has not been reaped, so that its pid is
// nobody else's. It is for one that there is no pidfd of.
func (r *Reaper) Kill(pid int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.waiters[pid]; ok && pid > 0 { // others are no processes but groups
		_ = unix.Kill(pid, unix.SIGKILL)
	}
}

// Done ends the adoption; it may be called more than once.
func (a *Adoption) Done() {
	a.once.Do(func() {
		a.r.mu.Lock()
		defer a.r.mu.Unlock()
		a.r.adopting--
		if a.r.adopting == 0 {
			clear(a.r.unknown)
		}
	})
}

// Monitor adapts the Reaper to go-runc.
func (r *Reaper) Monitor() runc.ProcessMonitor { return monitor{r} }

type monitor struct{ r *Reaper }

func (m monitor) Start(c *exec.Cmd) (chan runc.Exit, error) {
	exits, err := m.r.StartCommand(c)
	if err != nil {
		return nil, err
	}
	out := make(chan runc.Exit, 1)
	go func() {
		e := <-exits
		out <- runc.Exit{Timestamp: e.At, Pid: e.Pid, Status: int(e.Status)}
		close(out)
	}()
	return out, nil
}

// StartLocked is Start: the shim never sets Pdeathsig for runc.
func (m monitor) StartLocked(c *exec.Cmd) (chan runc.Exit, error) { return m.Start(c) }

func (m monitor) Wait(c *exec.Cmd, exits chan runc.Exit) (int, error) {
	e := <-exits
	Flush(c)
	return e.Status, nil
}
