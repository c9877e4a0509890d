package task

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/taskapi"
)

// Stopping is true when the shim is going: it takes no new containers.
func (s *Service) Stopping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopping
}

// all containers, those that are being created included.
func (s *Service) ids() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := make([]string, 0, len(s.containers))
	for id := range s.containers {
		ids = append(ids, id)
	}
	return ids
}

// KillAll ends all containers and waits until they have ended. It is for the end
// of a pod; whoever created the containers still has to delete them.
func (s *Service) KillAll(ctx context.Context) error {
	var dying []*container
	for _, id := range s.ids() {
		s.abandon(ctx, id)
		c, err := s.container(id)
		if err != nil {
			continue // its Create has failed
		}
		c.init.doom(false)
		if err := c.signalAll(ctx, unix.SIGKILL); err != nil && !errdefs.IsNotFound(err) {
			s.logger(id).WithError(err).Warn("kill a container of a pod that ends")
		}
		s.thaw(detached(ctx), c)
		dying = append(dying, c)
	}
	for _, c := range dying {
		select {
		case <-c.init.done:
		case <-ctx.Done():
			return fmt.Errorf("container %q does not end: %w", c.id, ctx.Err())
		}
	}
	return nil
}

// DeleteAll removes all containers, which must have ended.
func (s *Service) DeleteAll(ctx context.Context) error {
	var errs []error
	for _, id := range s.ids() {
		if _, err := s.Delete(ctx, &taskapi.DeleteRequest{ID: id}); err != nil && !errdefs.IsNotFound(err) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
