package sandbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/launcher/pod"
	api "github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/sandboxapi"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/wire"
)

// stopTimeout is how long a pod may take to stop if the request does not say.
const stopTimeout = 10 * time.Second

// StopSandbox ends what is left of the pod's containers and gives its namespaces
// up. CRI has stopped the containers before, with as much patience as the pod
// asked for. A second one does nothing.
func (s *Service) StopSandbox(ctx context.Context, r *api.StopSandboxRequest) (*api.StopSandboxResponse, error) {
	p, err := s.find(r.SandboxID)
	if err != nil {
		return nil, err
	}
	patience := stopTimeout
	if r.TimeoutSecs > 0 {
		patience = time.Duration(r.TimeoutSecs) * time.Second
	}
	ctx, cancel := context.WithTimeout(detached(ctx), patience)
	defer cancel()
	if err := s.stop(ctx, p); err != nil {
		return nil, fmt.Errorf("stop sandbox %q: %w", p.id, err)
	}
	return &api.StopSandboxResponse{}, nil
}

func (s *Service) stop(ctx context.Context, p *sandbox) error {
	p.lock()
	defer p.unlock()
	// They go first: they must not outlive what they live in.
	err := s.Members.KillAll(ctx)
	p.mu.Lock()
	h := p.holder
	p.mu.Unlock()
	if h != nil {
		err = errors.Join(err, h.Remove(ctx))
		select {
		case <-h.Ended():
			e := h.Exit()
			p.end(e.Status, e.At)
		default: // it does not die; the error says so
		}
	} else {
		p.end(0, time.Now())
	}
	return errors.Join(err, pod.UnmountShm(p.dir))
}

// WaitSandbox returns when the pod has stopped, or its holder has died.
func (s *Service) WaitSandbox(ctx context.Context, r *api.WaitSandboxRequest) (*api.WaitSandboxResponse, error) {
	p, err := s.find(r.SandboxID)
	if err != nil {
		return nil, err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	v := p.view()
	return &api.WaitSandboxResponse{ExitStatus: v.status, ExitedAt: wire.Time(v.exitedAt)}, nil
}

// ShutdownSandbox removes the pod with all that is left of it, and ends the shim.
// Without a pod, because Create failed, it is the end of the shim, too.
func (s *Service) ShutdownSandbox(ctx context.Context, r *api.ShutdownSandboxRequest) (*api.ShutdownSandboxResponse, error) {
	ctx, cancel := context.WithTimeout(detached(ctx), stopTimeout)
	defer cancel()
	if s.current() != nil {
		p, err := s.find(r.SandboxID)
		if err != nil {
			return nil, err
		}
		if err := errors.Join(s.stop(ctx, p), s.Members.DeleteAll(ctx)); err != nil {
			return nil, fmt.Errorf("shut down sandbox %q: %w", p.id, err)
		}
		if err := p.dir.MarkDeleted(); err != nil {
			s.Log.WithError(err).Debug("the delete helper will look for itself")
		}
		s.forget()
	}
	return &api.ShutdownSandboxResponse{}, s.Members.StopIfIdle(ctx)
}
