package task

import (
	"context"
	"fmt"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/artifact"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/bundle"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/launcher"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/options"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/events"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/rootfs"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/stdio"
)

// Config is what a Service needs.
type Config struct {
	Namespace string
	// Publish queues an event for containerd; it must not block.
	Publish func(events.Event)
	// Launcher returns the launcher for a container's options.
	Launcher func(options.Options) launcher.Launcher
	// Cache returns the code cache for a container's options.
	Cache func(options.Options) *codecache.Cache
	// Containerd is asked for images that are no root file systems.
	Containerd artifact.Containerd
	// StartLogger starts a logging program (binary://).
	StartLogger stdio.StartFunc
	// Alone is for stdio.Config.
	Alone func(f func())
	// Run runs a program to its end.
	Run rootfs.RunFunc
	// Arrived is told of every container for which Create is called.
	Arrived func(id string)
	// Flush waits until all events have been delivered, or ctx ends.
	Flush func(ctx context.Context)
	// Retire gives the shim's socket up if idle still holds then, and nobody is
	// about to use it; it tells whether it did.
	Retire func(ctx context.Context, idle func() bool) (bool, error)
	// Held tells whether the shim is needed although it has no container: it has
	// a pod.
	Held func() bool
	// Prepare completes the spec in a container's bundle before it is read.
	Prepare func(id string, dir bundle.Dir) error
	// Stop ends the shim, soon after it has returned.
	Stop func()
	Log  *log.Entry
}

// Service implements the Task service for all containers of the shim.
type Service struct {
	Config

	retiring sync.Mutex // see StopIfIdle

	mu         sync.Mutex
	containers map[string]*container // nil while Create is under way
	creations  map[string]*creation  // the Creates under way
	stopping   bool
}

// creation is a Create under way.
type creation struct {
	// abandon ends waits that may take long, so that Create fails.
	abandon context.CancelFunc
	// abandoned tells that the container is to be undone though it could be made.
	abandoned bool
	// done is closed when Create has undone what it did, or the container is
	// there.
	done chan struct{}
}

// NewService returns a Service without containers.
func NewService(c Config) *Service {
	return &Service{Config: c, containers: make(map[string]*container), creations: make(map[string]*creation)}
}

// reserve takes an id, until put or forget.
func (s *Service) reserve(id string, abandon context.CancelFunc) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return fmt.Errorf("the shim is shutting down: %w", errdefs.ErrUnavailable)
	}
	if _, taken := s.containers[id]; taken {
		return fmt.Errorf("container %q: %w", id, errdefs.ErrAlreadyExists)
	}
	s.containers[id] = nil
	s.creations[id] = &creation{abandon: abandon, done: make(chan struct{})}
	return nil
}

func (s *Service) put(c *container) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.containers[c.id] = c
	s.createdLocked(c.id)
}

// wanted tells whether nobody has given up a container that is being created. Who does so
// later waits until it is there.
func (s *Service) wanted(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.creations[id].abandoned
}

func (s *Service) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.containers, id)
	s.createdLocked(id)
}

// createdLocked is for the end of a Create; there need not have been one.
func (s *Service) createdLocked(id string) {
	if c, ok := s.creations[id]; ok {
		close(c.done)
		delete(s.creations, id)
	}
}

// abandon makes a Create that is under way fail, if there is one, and waits until
// it has cleaned up: its client does not wait for it any more.
func (s *Service) abandon(ctx context.Context, id string) {
	s.mu.Lock()
	c, ok := s.creations[id]
	if ok {
		c.abandoned = true
	}
	s.mu.Unlock()
	if !ok {
		return
	}
	c.abandon()
	select {
	case <-c.done:
	case <-ctx.Done():
	}
}

// container finds a container; one that is being created is not found yet.
func (s *Service) container(id string) (*container, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.containers[id]; c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("container %q: %w", id, errdefs.ErrNotFound)
}

func (s *Service) process(id, execID string) (*process, error) {
	c, err := s.container(id)
	if err != nil {
		return nil, err
	}
	return c.process(execID)
}

// logger of a container.
func (s *Service) logger(id string) *log.Entry { return s.Log.WithField("id", id) }

// detached is the context of work that must be finished whatever becomes of
// the request: containerd may die in the middle of any call.
func detached(ctx context.Context) context.Context { return context.WithoutCancel(ctx) }
