package sandbox

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/bundle"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/launcher/pod"
)

// Config is what a Service needs.
type Config struct {
	// StartHolder starts the process that has the pod's namespaces.
	StartHolder func(context.Context, pod.Config) (*pod.Holder, error)
	// Members are the containers of the shim.
	Members Members
	// Arrived is told of every pod for which Create is called.
	Arrived func(id string)
	Log     *log.Entry
}

// Members are the pod's containers, as far as the pod has to do with them.
type Members interface {
	// Stopping is true when the shim is going: it takes nothing new.
	Stopping() bool
	// KillAll ends all containers and waits until they have ended.
	KillAll(ctx context.Context) error
	// DeleteAll also removes them.
	DeleteAll(ctx context.Context) error
	// StopIfIdle stops the shim unless there is a container or a pod.
	StopIfIdle(ctx context.Context) error
}

// Service implements the Sandbox service for the one pod of a shim.
type Service struct {
	Config

	mu  sync.Mutex
	pod *sandbox // nil before Create and after Shutdown
}

// NewService returns a Service without a pod.
func NewService(c Config) *Service { return &Service{Config: c} }

// phase is where a pod is in its life.
type phase int

const (
	created phase = iota
	ready
	stopped // whether it was stopped or its holder died
)

// sandbox is a pod.
type sandbox struct {
	id       string
	dir      bundle.Dir
	config   pod.Config
	hostname string // also if the pod has the host's
	dns      *dnsConfig
	shm      bool // its containers share a /dev/shm

	// busy is held by the operation that changes the pod: a semaphore. Status and
	// Wait do not wait for it.
	busy chan struct{}
	// done is closed when the pod is stopped.
	done chan struct{}

	// recording is held while the record is written; nothing else waits for it.
	recording sync.Mutex
	record    bundle.Sandbox

	mu        sync.Mutex
	phase     phase
	holder    *pod.Holder // nil before Start
	createdAt time.Time
	exitedAt  time.Time
	status    uint32
}

// Held tells whether there is a pod: the shim must stay, with or without
// containers.
func (s *Service) Held() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pod != nil
}

// find returns the pod id.
func (s *Service) find(id string) (*sandbox, error) {
	p := s.current()
	if p == nil || p.id != id {
		return nil, fmt.Errorf("sandbox %q: %w", id, errdefs.ErrNotFound)
	}
	return p, nil
}

// current is the pod, or nil.
func (s *Service) current() *sandbox {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pod
}

// lock takes the right to change the pod; unlock gives it back.
func (p *sandbox) lock()   { p.busy <- struct{}{} }
func (p *sandbox) unlock() { <-p.busy }

// end records that the pod has stopped, once.
func (p *sandbox) end(status uint32, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.phase == stopped {
		return
	}
	p.phase, p.status, p.exitedAt = stopped, status, at
	close(p.done)
}

// view is a consistent copy of what changes.
type view struct {
	phase               phase
	pid                 int
	createdAt, exitedAt time.Time
	status              uint32
}

func (p *sandbox) view() view {
	p.mu.Lock()
	defer p.mu.Unlock()
	v := view{phase: p.phase, createdAt: p.createdAt, exitedAt: p.exitedAt, status: p.status}
	// Of a holder that has ended, the pid may be another process's by now, and
	// containerd would have a container join the namespaces of that.
	if p.phase == ready {
		v.pid = p.holder.Pid
	}
	return v
}

// detached is the context of work that must be finished whatever becomes of
// the request: containerd may die in the middle of any call.
func detached(ctx context.Context) context.Context { return context.WithoutCancel(ctx) }
