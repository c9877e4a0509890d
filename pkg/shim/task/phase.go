package task

import (
	"fmt"
	"slices"

	"github.com/containerd/errdefs"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/taskapi"
)

// phase is where a process is in its life.
type phase int

const (
	created  phase = iota // exists (init) or is registered (exec), waits for Start
	starting              // Start is under way
	running
	paused
	stopped // has ended; its status is known
	deleted
)

// transitions lists the phases that may follow each phase.
var transitions = map[phase][]phase{
	created:  {starting, stopped, deleted},
	starting: {running, stopped},
	running:  {paused, stopped},
	paused:   {running, stopped},
	stopped:  {deleted},
	deleted:  {},
}

func (p phase) String() string {
	switch p {
	case created:
		return "created"
	case starting:
		return "starting"
	case running:
		return "running"
	case paused:
		return "paused"
	case stopped:
		return "stopped"
	case deleted:
		return "deleted"
	default:
		return fmt.Sprintf("phase(%d)", int(p))
	}
}

// status is the phase as containerd's clients see it.
func (p phase) status() taskapi.Status {
	switch p {
	case created, starting:
		return taskapi.StatusCreated
	case running:
		return taskapi.StatusRunning
	case paused:
		return taskapi.StatusPaused
	default:
		return taskapi.StatusStopped
	}
}

// phaseError says that an operation does not fit the phase. It unwraps to
// FailedPrecondition, or to NotFound if a Delete was faster.
type phaseError struct {
	what string
	is   phase
	verb string
}

func (e *phaseError) Error() string {
	return fmt.Sprintf("cannot %s %s: it is %s", e.verb, e.what, e.is)
}

func (e *phaseError) Unwrap() error {
	if e.is == deleted {
		return errdefs.ErrNotFound
	}
	return errdefs.ErrFailedPrecondition
}

// to checks one step of a process's life.
func (p phase) to(next phase) bool { return slices.Contains(transitions[p], next) }
