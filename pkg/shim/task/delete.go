package task

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/events"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/taskapi"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/wire"
)

// Delete removes a process that has ended, or was never started. A container that
// is being created, or an exec that starts, is given up: containerd deletes it when its
// own client has no patience any more.
func (s *Service) Delete(ctx context.Context, r *taskapi.DeleteRequest) (*taskapi.DeleteResponse, error) {
	if r.ExecID == "" {
		s.abandon(ctx, r.ID)
	}
	p, err := s.process(r.ID, r.ExecID)
	if err != nil {
		return nil, err
	}
	if p.execID != "" {
		p.giveUp()
	}
	p.lock()
	defer p.unlock()
	if p.execID == "" {
		err = s.deleteInit(detached(ctx), p)
	} else {
		err = s.deleteExec(p)
	}
	if err != nil {
		return nil, err
	}
	e := p.status()
	return &taskapi.DeleteResponse{Pid: uint32(p.pid()), ExitStatus: e.status, ExitedAt: wire.Time(e.at)}, nil
}

func (s *Service) deleteInit(ctx context.Context, p *process) error {
	c := p.container
	switch ph := p.current(); ph {
	case stopped, created:
	default:
		return &phaseError{what: p.String(), is: ph, verb: "delete"}
	}
	if err := c.os.Delete(ctx); err != nil {
		return fmt.Errorf("delete container %q: %w", c.id, err)
	}
	select {
	case <-p.done:
	case <-time.After(drained):
		return errors.New("the container's process does not end")
	}
	for _, e := range c.allExecs() {
		e.stop(exit{at: time.Now()}) // one that never ran may be waited for
		e.release()
	}
	p.release()
	if err := c.unmountRootfs(ctx); err != nil {
		return err
	}
	if err := p.step(deleted, "delete"); err != nil {
		return err
	}
	e := p.status()
	s.forget(c.id)
	s.Publish(&events.TaskDelete{
		ContainerID: c.id, Pid: uint32(p.pid()), ExitStatus: e.status, ExitedAt: wire.Time(e.at),
	})
	if err := c.dir.MarkDeleted(); err != nil {
		s.logger(c.id).WithError(err).Debug("the delete helper will look for itself")
	}
	return nil
}

func (s *Service) deleteExec(p *process) error {
	if p.current() == created { // never started: nobody waits for a status
		p.stop(exit{at: time.Now()})
	}
	if err := p.step(deleted, "delete"); err != nil {
		return err
	}
	p.release()
	p.container.removeExec(p)
	return nil
}

// Shutdown ends the shim if no container is left. containerd calls it after
// every Delete. A container that has ended but was not deleted does not hold
// the shim up if it is the one that the request names and the last one: then
// nobody will ask for it again.
func (s *Service) Shutdown(ctx context.Context, r *taskapi.ShutdownRequest) (*wire.Empty, error) {
	if c := s.last(r.ID); c != nil && c.init.current() == stopped {
		if _, err := s.Delete(ctx, &taskapi.DeleteRequest{ID: c.id}); err != nil {
			return nil, err
		}
	}
	if err := s.StopIfIdle(ctx); err != nil {
		return nil, err
	}
	if s.isStopping() { // whoever asks may not be there any more after the answer
		flushed, cancel := context.WithTimeout(ctx, lastEvents)
		defer cancel()
		s.Flush(flushed)
	}
	return &wire.Empty{}, nil
}

// lastEvents bounds how long Shutdown waits until containerd has the shim's events.
const lastEvents = 250 * time.Millisecond

// StopIfIdle stops the shim unless it has, or is about to get, a container, or has
// a pod.
func (s *Service) StopIfIdle(ctx context.Context) error {
	// One after the other, and not again when it has been stopped: the process could end
	// while it has the socket's lock, which would stay.
	s.retiring.Lock()
	defer s.retiring.Unlock()
	if s.isStopping() {
		return nil
	}
	retired, err := s.Retire(ctx, s.empty)
	if err != nil {
		return fmt.Errorf("shut down: %w", err)
	}
	// A container or a pod may have come by an old connection since; it keeps the shim.
	if retired && s.refuseIfEmpty() {
		s.Stop()
	}
	return nil
}

func (s *Service) isStopping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopping
}

func (s *Service) empty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.emptyLocked()
}

func (s *Service) emptyLocked() bool { return len(s.containers) == 0 && !s.Held() }

// last returns container id if it is the only one.
func (s *Service) last(id string) *container {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.containers) != 1 {
		return nil
	}
	return s.containers[id]
}

// refuseIfEmpty refuses new containers from now on if there are none.
func (s *Service) refuseIfEmpty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopping = s.emptyLocked()
	return s.stopping
}
