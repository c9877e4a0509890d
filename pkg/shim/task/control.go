package task

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/events"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/taskapi"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/wire"
)

// Kill sends a signal to a process, or to all of the container's.
func (s *Service) Kill(ctx context.Context, r *taskapi.KillRequest) (*wire.Empty, error) {
	p, err := s.process(r.ID, r.ExecID)
	if err != nil {
		return nil, err
	}
	sig := unix.Signal(r.Signal)
	if r.Signal > maxSignal {
		return nil, fmt.Errorf("signal %d: there are %d: %w", r.Signal, maxSignal, errdefs.ErrInvalidArgument)
	}
	c := p.container
	// An exec has to wait for Resume: the others must not run meanwhile.
	ends := (r.All || p == c.init) && c.init.os.DiesOf(sig)
	if ends {
		c.init.doom(c.init.os.Asks(sig))
	}
	if r.All {
		err = c.signalAll(ctx, sig)
	} else {
		err = p.signal(sig)
	}
	if err != nil {
		return nil, err
	}
	if ends {
		s.thaw(detached(ctx), c)
	}
	return &wire.Empty{}, nil
}

// maxSignal is SIGRTMAX.
const maxSignal = 64

// signalAll signals init and the execs; SIGKILL reaches whatever else is in the
// container too.
func (c *container) signalAll(ctx context.Context, sig unix.Signal) error {
	err := c.init.signal(sig)
	for _, e := range c.allExecs() {
		if execErr := e.signal(sig); execErr == nil {
			err = nil
		}
	}
	if sig == unix.SIGKILL && err == nil {
		if killErr := c.os.KillAll(detached(ctx)); killErr != nil && c.init.current() != stopped {
			return killErr
		}
	}
	return err
}

// thaw lets a paused container's processes go on, so that they can die.
func (s *Service) thaw(ctx context.Context, c *container) {
	if c.init.current() != paused {
		return
	}
	if err := c.os.Resume(ctx); err != nil && c.init.current() == paused {
		s.logger(c.id).WithError(err).Warn("resume a paused container that was killed")
	}
}

// Pause freezes all processes of the container.
func (s *Service) Pause(ctx context.Context, r *taskapi.PauseRequest) (*wire.Empty, error) {
	return s.freeze(ctx, r.ID, "pause", running, paused)
}

// Resume lets the processes of a paused container go on.
func (s *Service) Resume(ctx context.Context, r *taskapi.ResumeRequest) (*wire.Empty, error) {
	return s.freeze(ctx, r.ID, "resume", paused, running)
}

func (s *Service) freeze(ctx context.Context, id, verb string, from, to phase) (*wire.Empty, error) {
	c, err := s.container(id)
	if err != nil {
		return nil, err
	}
	p := c.init
	p.lock()
	defer p.unlock()
	if ph := p.current(); ph != from {
		return nil, &phaseError{what: p.String(), is: ph, verb: verb}
	}
	ctx = detached(ctx)
	asked := p.timesAsked()
	if to == paused {
		err = c.os.Pause(ctx)
	} else {
		err = c.os.Resume(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("%s container %q: %w", verb, id, err)
	}
	if err := p.step(to, verb); err != nil { // it has ended meanwhile
		return nil, err
	}
	if to == paused {
		s.Publish(&events.TaskPaused{ContainerID: id})
		if p.isDoomed() || p.timesAsked() > asked { // the signal came while it was being frozen
			s.thaw(ctx, c)
		}
	} else {
		s.Publish(&events.TaskResumed{ContainerID: id})
	}
	return &wire.Empty{}, nil
}

// Update changes the limits of a container.
func (s *Service) Update(ctx context.Context, r *taskapi.UpdateTaskRequest) (*wire.Empty, error) {
	c, err := s.container(r.ID)
	if err != nil {
		return nil, err
	}
	var resources specs.LinuxResources
	if err := json.Unmarshal(r.Resources.GetValue(), &resources); err != nil {
		return nil, fmt.Errorf("update container %q: decode resources: %w: %w", c.id, err, errdefs.ErrInvalidArgument)
	}
	p := c.init
	p.lock()
	defer p.unlock()
	if ph := p.current(); ph == stopped || ph == deleted {
		return nil, &phaseError{what: p.String(), is: ph, verb: "update"}
	}
	if err := c.os.Update(detached(ctx), &resources); err != nil {
		return nil, fmt.Errorf("update container %q: %w", c.id, err)
	}
	return &wire.Empty{}, nil
}

// ResizePty sets the size of a process's terminal; without one it does nothing.
func (s *Service) ResizePty(_ context.Context, r *taskapi.ResizePtyRequest) (*wire.Empty, error) {
	p, err := s.process(r.ID, r.ExecID)
	if err != nil {
		return nil, err
	}
	if err := p.resize(r.Width, r.Height); err != nil {
		return nil, fmt.Errorf("%s: %w", p, err)
	}
	return &wire.Empty{}, nil
}

// CloseIO lets a process's stdin end.
func (s *Service) CloseIO(_ context.Context, r *taskapi.CloseIORequest) (*wire.Empty, error) {
	p, err := s.process(r.ID, r.ExecID)
	if err != nil {
		return nil, err
	}
	if r.Stdin {
		p.closeStdin()
	}
	return &wire.Empty{}, nil
}

// Checkpoint is not possible: neither CRIU nor wazero can save a guest.
func (s *Service) Checkpoint(context.Context, *taskapi.CheckpointTaskRequest) (*wire.Empty, error) {
	return nil, fmt.Errorf("checkpoint: %w", errdefs.ErrNotImplemented)
}
