// Package runner is the process inside a container that runs a Wasm guest.
//
// It starts with the privileges that the container's configuration gives, drops
// them, and only then reads the module: whatever a hostile module makes of the
// decoder, the compiler or the WASI host, it is left with an unprivileged
// process in the container's namespaces. Package job is how it talks to the
// shim.
package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/privilege"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/runner/gateway"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/runner/sigexit"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/title"
)

// Exit statuses of a runner other than the guest's own.
const (
	// statusCannotRun is what shells use for a file that cannot be executed.
	statusCannotRun = 126
	// statusTrap is that of a native program which aborts: 128 + SIGABRT.
	statusTrap = 134
	// statusSignal plus its number is that of a program which a signal ends.
	statusSignal = 128
	// statusOutOfMemory is that of a program which the kernel kills: 128 + SIGKILL.
	statusOutOfMemory = 137
)

// Main runs the guest that the inherited descriptors describe (see package job)
// and returns the exit status of the process. It must be called first thing in
// main, in a process that package job's environment variable made a runner.
func Main() int { return start(nil) }

// MainServing is Main for a runner that answers requests by CGI, with a server that open
// makes.
func MainServing(open gateway.Open) int { return start(open) }

func start(open gateway.Open) int {
	os.Clearenv()
	control, err := openControl()
	if err != nil {
		fmt.Fprintf(os.Stderr, "this is a part of the shim that only the shim can start: %v\n", err)
		return statusCannotRun
	}
	return run(&orders{Control: control}, open)
}

func run(control *orders, open gateway.Open) (status int) {
	defer func() {
		if fault := recover(); fault != nil {
			waitForReader()
			status = reportFault(os.Stderr, fault, debug.Stack())
		}
	}()
	ctx := context.Background()
	guest, err := load(ctx, control, open)
	if err != nil {
		status := refuse(control, err)
		if control.entered {
			// Nobody has asked for the start yet. Who does is told; an end before it
			// would be all that is seen.
			control.waitGoAnyway()
		}
		return status
	}
	if err := control.waitGo(); err != nil {
		if !errors.Is(err, io.EOF) {
			return refuse(control, err)
		}
		return statusCannotRun
	}
	// The shim says go when runc has ended, so it is our parent now.
	if err := control.lock(guest); err != nil {
		return refuse(control, err)
	}
	if guest.server != nil {
		return guest.serve(control.Control)
	}
	return guest.run(ctx, control.Control, os.Stderr)
}

// load does everything that can fail before the guest's first instruction.
func load(ctx context.Context, control *orders, open gateway.Open) (*guest, error) {
	if err := sigexit.Install(); err != nil {
		return nil, err
	}
	if err := tidyDescriptors(); err != nil {
		return nil, err
	}
	j, err := readJob()
	if err != nil {
		return nil, err
	}
	if (j.CGI != nil) != (open != nil) {
		return nil, errors.New("the shim started this runner for another kind of job")
	}
	statm := openStatm()
	defer statm.close()
	if j.Room == nil {
		// runc has confined it already.
		if err = privilege.CheckThreads(); err == nil {
			err = disguise(j)
		}
		if err == nil {
			err = confine(j)
		}
	} else {
		err = enter(j, control)
	}
	if err != nil {
		return nil, err
	}
	guest, ready, err := loadGuest(ctx, j, control, statm)
	if err != nil {
		return nil, err
	}
	if err := guest.prepareListeners(control, open); err != nil {
		return nil, err
	}
	if j.Room != nil { // the shim is the parent, and nothing is left to do after Go
		if err := control.lock(guest); err != nil {
			return nil, err
		}
	}
	return guest, control.Report(ready)
}

// enter makes the room around this process when the shim says so.
func enter(j *job.Job, control *orders) error {
	if err := disguise(j); err != nil { // the room has no /proc
		return err
	}
	root, err := control.waitEnter()
	if err != nil {
		return err
	}
	warnings, err := j.Room.Enter(root, j.KeepCapabilities, control.waitProceed)
	if root != nil {
		root.Close()
	}
	if err != nil {
		return err
	}
	if err := confine(j); err != nil {
		return err
	}
	return control.Report(job.Report{Kind: job.Entered, Message: strings.Join(warnings, "; ")})
}

// disguise makes the process look like the guest.
func disguise(j *job.Job) error {
	title.HideFirstArgument()
	return title.SetName(j.Module)
}

// confine gives up privileges.
func confine(j *job.Job) error {
	if err := privilege.Drop(j.KeepCapabilities); err != nil {
		return err
	}
	return privilege.Isolate()
}

// refuse tells the shim why the guest cannot run.
func refuse(control *orders, reason error) int {
	_ = control.Report(job.Report{Kind: job.Failed, Message: reason.Error()})
	return statusCannotRun
}
