package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/tetratelabs/wazero/sys"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi/preview1"
)

// run lets the guest go and turns its end into the exit status of the process.
func (g *guest) run(ctx context.Context, control *job.Control, stderr io.Writer) int {
	err := g.call(ctx, control)
	waitForReader()
	status := g.finish(err, stderr)
	if status != 0 && g.memory.Refused() {
		// What the guest says about the refusal differs with its language, so
		// the fact counts.
		_ = control.Report(job.Report{Kind: job.OutOfMemory})
		return statusOutOfMemory
	}
	return status
}

// waitForReader makes what we write to standard error wait for room there. The guest,
// whose standard error it is, too, may have set that it does not, and our last message
// would be lost just after it has written much.
func waitForReader() { _ = unix.SetNonblock(unix.Stderr, false) }

func (g *guest) finish(err error, stderr io.Writer) int {
	if err == nil {
		return 0
	}
	var exit *sys.ExitError
	if errors.As(err, &exit) {
		// The kernel keeps eight bits of a status.
		return int(exit.ExitCode() & 0xff)
	}
	var raised *preview1.Raised
	if errors.As(err, &raised) {
		return statusSignal + int(raised.Signal)
	}
	var fault runtime.Error
	if errors.As(err, &fault) {
		return reportFault(stderr, err, nil)
	}
	fmt.Fprintf(stderr, "module %q trapped: %v\n", g.job.Module, err)
	return statusTrap
}

// reportFault is for what no guest should be able to cause.
func reportFault(stderr io.Writer, fault any, stack []byte) int {
	fmt.Fprintf(stderr, "this is a fault of containerd-shim-wazero, not of the program that it runs; please report it: %v\n%s", fault, stack)
	return statusTrap
}
