package runner

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/runner/gateway"
)

const (
	// statusNoEnd is that of a program which SIGALRM ends: an instance did not end.
	statusNoEnd = statusSignal + int(unix.SIGALRM)
	// statusServerFailed is for a server that cannot go on.
	statusServerFailed = 1
	// otherThreads run Go's code beside those that run instances, which keep a thread
	// for as long as they compute.
	otherThreads = 4
)

// openServer opens the listeners for a server of ours.
func (g *guest) openServer(open gateway.Open) error {
	clients, err := connections(g.job.MemoryLimit, g.job.CGI.Workers, len(g.job.Preopens))
	if err != nil {
		return err
	}
	var files []*os.File
	for _, l := range g.job.Listeners {
		fd, err := l.Open()
		if err != nil {
			return err
		}
		files = append(files, os.NewFile(uintptr(fd), l.String()))
	}
	runtime.GOMAXPROCS(g.job.CGI.Workers + otherThreads)
	g.server, err = open(files, gateway.Options{
		Workers:     g.job.CGI.Workers,
		Patience:    time.Duration(g.job.CGI.Patience) * time.Millisecond,
		Connections: clients,
		Env:         g.job.Env,
		Log:         os.Stderr,
		GiveUp:      giveUp,
		Guard:       guard,
		// What is left of many requests would stay for minutes.
		Idle: debug.FreeOSMemory,
	})
	return err
}

// serve answers requests until something ends the process.
func (g *guest) serve(control *job.Control) int {
	if g.job.Graceful {
		go g.awaitShutdown(control)
	}
	err := g.server.Serve(g.program)
	if err == nil {
		select {} // awaitShutdown ends the process
	}
	fmt.Fprintf(os.Stderr, "cgi: %v\n", err)
	return statusServerFailed
}

// awaitShutdown is awaitStop for a server.
func (g *guest) awaitShutdown(control *job.Control) {
	if sig, ok := stopSignal(control); ok {
		g.server.Shutdown()
		os.Exit(statusSignal + int(sig))
	}
}

// giveUp is gateway.Options.GiveUp.
func giveUp(line string) {
	fmt.Fprintln(os.Stderr, line)
	os.Exit(statusNoEnd)
}

// guard is gateway.Options.Guard. The handler of the signal needs nothing of Go's
// runtime, which may be waiting for an instance that computes: see package sigexit.
func guard(after time.Duration) {
	_, _ = unix.Setitimer(unix.ITIMER_REAL, unix.Itimerval{Value: unix.NsecToTimeval(int64(after))})
}
