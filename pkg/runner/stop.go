package runner

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
)

// awaitStop waits until the shim wants the guest to stop. Then it ends the process as
// soon as the guest has served those whom it has accepted. The guest need not take part:
// it may compute, and never call again.
func (g *guest) awaitStop(control *job.Control) {
	if sig, ok := stopSignal(control); ok {
		g.system.Stop(func() { os.Exit(statusSignal + int(sig)) })
	}
}

// stopSignal waits until the shim wants the process to stop, which may never be. Without
// an answer the shim is gone, and so is this process.
func stopSignal(control *job.Control) (sig unix.Signal, ok bool) {
	for !ok {
		order, err := control.ReceiveBare()
		if err != nil {
			return 0, false
		}
		sig, ok = stopSignals[order]
	}
	return sig, true
}

// stopSignals are those that orders stand for.
var stopSignals = map[job.Order]unix.Signal{job.Terminate: unix.SIGTERM, job.Interrupt: unix.SIGINT}
