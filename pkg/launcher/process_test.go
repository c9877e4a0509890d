package launcher

import (
	"net"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/reaper"
)

// child starts a program; asGuest makes it a guest's runner for the Process.
func child(t *testing.T, asGuest bool, name string, args ...string) *Process {
	t.Helper()
	var handoff *Handoff
	if asGuest {
		var conn *net.UnixConn
		handoff, conn = newHandoff(t)
		must(t, conn.Close()) // the program does not hold it
	}
	cmd := exec.Command(name, args...)
	must(t, cmd.Start())
	exits := make(chan reaper.Exit, 1)
	pid := cmd.Process.Pid
	p, err := NewProcess(pid, exits, handoff) // before anybody reaps it
	must(t, err)
	go func() {
		_ = cmd.Wait()
		ws := cmd.ProcessState.Sys().(syscall.WaitStatus)
		e := reaper.Exit{Pid: pid, Status: uint32(ws.ExitStatus()), At: time.Now()}
		if ws.Signaled() {
			e.Signal = ws.Signal()
			e.Status = 128 + uint32(e.Signal)
		}
		exits <- e
	}()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return p
}

func TestGuestEndsByTheSignalThatWasAskedFor(t *testing.T) {
	t.Parallel()
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGUSR1, unix.SIGKILL} {
		p := child(t, true, "sleep", "60")
		if !p.DiesOf(sig) {
			t.Errorf("%s would not end it", sig)
		}
		must(t, p.Signal(unix.SIGWINCH)) // no reason
		must(t, p.Signal(sig))
		_ = p.Signal(unix.SIGHUP) // too late
		if e, _ := p.Wait(); e.Status != 128+uint32(sig) || e.Signal != sig {
			t.Errorf("after %s: %+v", sig, e)
		}
		p.Release()
	}
}

func TestNativeProcessGetsTheSignalItself(t *testing.T) {
	t.Parallel()
	p := child(t, false, "sleep", "60")
	if p.DiesOf(unix.SIGTERM) || !p.DiesOf(unix.SIGKILL) {
		t.Error("only SIGKILL is for sure")
	}
	must(t, p.Signal(unix.SIGUSR1)) // not SIGHUP, which nohup makes all its children ignore
	if e, oom := p.Wait(); e.Status != 138 || oom {
		t.Errorf("%+v, out of memory: %t", e, oom)
	}
	p.Release()
}

// The first signal is an order to a graceful guest that runs, and the second one
// ends it, as every other does. What it makes of the order is its status.
func TestGracefulGuestIsAskedFirst(t *testing.T) {
	t.Parallel()
	for sig, want := range map[unix.Signal]job.Order{unix.SIGTERM: job.Terminate, unix.SIGINT: job.Interrupt} {
		for last, status := range map[unix.Signal]uint32{unix.SIGTERM: 143, unix.SIGKILL: 137} {
			p, conn := graceful(t)
			p.Handoff.stoppable.Store(true) // as Run does
			if !p.Asks(sig) || p.Asks(unix.SIGHUP) || p.Asks(unix.SIGKILL) {
				t.Errorf("asks by %s: %t, by SIGHUP: %t, by SIGKILL: %t", sig, p.Asks(sig), p.Asks(unix.SIGHUP), p.Asks(unix.SIGKILL))
			}
			must(t, p.Signal(sig))
			if p.Asks(sig) {
				t.Errorf("%s would ask twice", sig)
			}
			if order, _ := receive(t, job.NewControl(conn)); order != want {
				t.Errorf("%s: order %q", sig, order)
			}
			must(t, p.Signal(0)) // it lives
			must(t, p.Signal(last))
			if e, _ := p.Wait(); e.Status != status {
				t.Errorf("%s, then %s: %+v", sig, last, e)
			}
			p.Release()
		}
	}
}

func TestGracefulGuestEndsAtOnceByOtherSignals(t *testing.T) {
	t.Parallel()
	for sig, runs := range map[unix.Signal]bool{unix.SIGHUP: true, unix.SIGKILL: true, unix.SIGTERM: false} {
		p, conn := graceful(t)
		p.Handoff.stoppable.Store(runs)
		must(t, p.Signal(sig))
		must(t, conn.Close())
		if e, _ := p.Wait(); e.Status != 128+uint32(sig) {
			t.Errorf("%s: %+v", sig, e)
		}
		p.Release()
	}
}

// graceful is a guest's runner, and its end of the control socket.
func graceful(t *testing.T) (*Process, *net.UnixConn) {
	t.Helper()
	p := child(t, true, "sleep", "60")
	p.Handoff.Close()
	var conn *net.UnixConn
	p.Handoff, conn = newHandoff(t)
	return p, conn
}

// A kill that nobody asked for is not turned into something else, and an exit
// status survives a signal that came too late.
func TestEndWithoutRequestIsReportedAsItIs(t *testing.T) {
	t.Parallel()
	p := child(t, true, "sh", "-c", "kill -KILL $$")
	if e, _ := p.Wait(); e.Status != 137 {
		t.Errorf("%+v", e)
	}
	p = child(t, true, "sh", "-c", "exit 3")
	p.requested.Store(int32(unix.SIGTERM))
	if e, _ := p.Wait(); e.Status != 3 {
		t.Errorf("%+v", e)
	}
}

func TestSignalToAnEndedProcessIsNotFound(t *testing.T) {
	t.Parallel()
	p := child(t, false, "true")
	p.Wait()
	for _, when := range []string{"ended", "released"} {
		for _, sig := range []unix.Signal{0, unix.SIGTERM, unix.SIGKILL} {
			if err := p.Signal(sig); !errdefs.IsNotFound(err) {
				t.Errorf("%s, signal %d: %v", when, int(sig), err)
			}
		}
		p.Release()
	}
	// One that had ended before anybody looked.
	late, err := NewProcess(p.Pid, make(chan reaper.Exit), nil)
	must(t, err)
	if err := late.Signal(unix.SIGKILL); !errdefs.IsNotFound(err) {
		t.Error(err)
	}
}

// A signal that comes together with Release does not reach the process whose pidfd
// gets the number of the one that is closed.
func TestSignalDuringReleaseMeetsNoStranger(t *testing.T) {
	t.Parallel()
	ended := child(t, false, "true")
	pidfd := int(ended.pidfd.Fd())
	ended.Wait()
	var met atomic.Bool
	for range 5000 {
		fd, err := unix.FcntlInt(uintptr(pidfd), unix.F_DUPFD_CLOEXEC, 0)
		must(t, err)
		p := &Process{Pid: ended.Pid, pidfd: os.NewFile(uintptr(fd), "pidfd")}
		begun, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			close(begun)
			for range 20 {
				if p.Signal(0) == nil {
					met.Store(true)
				}
			}
		}()
		<-begun
		p.Release()
		stranger, err := unix.PidfdOpen(os.Getpid(), 0)
		must(t, err)
		<-done
		must(t, unix.Close(stranger))
	}
	ended.Release()
	if met.Load() {
		t.Error("a process that runs got a signal for one that has ended")
	}
}

func TestBadSignalIsInvalid(t *testing.T) {
	t.Parallel()
	p := child(t, false, "sleep", "60")
	if err := p.Signal(1000); !errdefs.IsInvalidArgument(err) {
		t.Error(err)
	}
}
