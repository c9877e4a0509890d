package runner_test

import (
	"syscall"
	"testing"
	"time"
)

// TestSignalEndsGuestAtOnce: the runner may be pid 1, where default actions do
// nothing, and a guest that spins keeps the Go runtime from running handlers.
func TestSignalEndsGuestAtOnce(t *testing.T) {
	t.Parallel()
	needRoot(t)
	guests := map[string]string{
		"Spinning":                 spinBody,
		"SpinningDuringCollection": garbageBody,
		"Sleeping":                 sleepBody,
		"Reading":                  readBody,
	}
	places := map[string]*syscall.SysProcAttr{
		"AsChild": nil,
		"AsPid1":  {Cloneflags: syscall.CLONE_NEWPID},
	}
	for name, body := range guests {
		for place, attr := range places {
			t.Run(name+place, func(t *testing.T) {
				t.Parallel()
				p := startReady(t, guest(t, "guest", body), options{openStdin: true, attr: attr})
				p.letGo()
				p.awaitStdout("ready\n")
				time.Sleep(50 * time.Millisecond)
				p.endsPromptly(syscall.SIGTERM)
			})
		}
	}
}

func TestSignalEndsRunnerThatWaitsForGo(t *testing.T) {
	t.Parallel()
	needRoot(t)
	p := startReady(t, guest(t, "guest", spinBody), options{attr: &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}})
	p.endsPromptly(syscall.SIGTERM)
}

// endsPromptly sends a signal that must end the process with 128+n.
func (p *process) endsPromptly(s syscall.Signal) {
	p.t.Helper()
	began := time.Now()
	must(p.t, p.cmd.Process.Signal(s))
	if status := p.wait(); status != 128+int(s) {
		p.t.Errorf("status %d after signal %d", status, s)
	}
	if took := time.Since(began); took > 10*time.Second {
		p.t.Errorf("it took %v to end", took)
	}
}

func TestRunnerEndsWithItsParent(t *testing.T) {
	t.Parallel()
	// The shell is the parent, and does not pass signals on.
	p := startReady(t, guest(t, "guest", spinBody), options{wrapper: []string{"/bin/sh", "-c", `"$@" & wait`, "sh"}})
	p.letGo()
	p.awaitStdout("ready\n")
	must(t, p.cmd.Process.Kill())
	must(t, p.socket.SetReadDeadline(time.Now().Add(5*time.Second)))
	if r, err := p.control.ReadReport(); err == nil || isTimeout(err) {
		t.Errorf("the runner lives on without its parent (report %v, %v)", r, err)
	}
}

func TestRunnerEndsWhenTheShimGoesBeforeGo(t *testing.T) {
	t.Parallel()
	p := startReady(t, guest(t, "guest", spinBody), options{})
	must(t, p.socket.Close())
	p.expect(126, "")
}

func isTimeout(err error) bool {
	t, ok := err.(interface{ Timeout() bool })
	return ok && t.Timeout()
}
