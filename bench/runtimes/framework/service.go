package main

import (
	"context"
	"os"
	"sync"
	"syscall"
	"time"

	eventsapi "github.com/containerd/containerd/api/events"
	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/pkg/protobuf"
	"github.com/containerd/containerd/v2/pkg/shim"
	"github.com/containerd/containerd/v2/pkg/shutdown"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/containerd-wazero/containerd-shim-wazero/bench/runtimes/noop"
)

// killed is the exit status of a process that SIGKILL has ended.
const killed = 128 + int(syscall.SIGKILL)

// service answers containerd for the one container that a daemon has.
type service struct {
	pid      uint32 // of this process, since there is no other
	events   *events
	shutdown shutdown.Service

	mu        sync.Mutex
	container *container // nil before Create and after Delete
}

// container is guarded by the service's mu, except for what never changes; what
// describes the end does not once ended is closed.
type container struct {
	*taskapi.CreateTaskRequest
	status task.Status
	exit   uint32
	at     time.Time
	ended  chan struct{}
}

func newService(ctx context.Context, publisher shim.Publisher, sd shutdown.Service) *service {
	s := &service{pid: uint32(os.Getpid()), events: newEvents(ctx, publisher), shutdown: sd}
	// The process ends when these have returned. The framework looks for the socket by
	// a link in the bundle, which containerd may have removed by then.
	sd.RegisterCallback(s.events.close)
	sd.RegisterCallback(func(context.Context) error { return shim.RemoveSocket(os.Getenv(addressEnv)) })
	return s
}

// RegisterTTRPC implements shim.TTRPCService.
func (s *service) RegisterTTRPC(server *ttrpc.Server) error {
	taskapi.RegisterTTRPCTaskService(server, s)
	return nil
}

// get is called with mu held. There are no processes but the container's first.
func (s *service) get(id, execID string) (*container, error) {
	if s.container == nil || s.container.ID != id {
		return nil, errgrpc.ToGRPCf(errdefs.ErrNotFound, "container %q", id)
	}
	if execID != "" {
		return nil, errgrpc.ToGRPCf(errdefs.ErrNotFound, "process %q", execID)
	}
	return s.container, nil
}

// Create implements taskapi.TTRPCTaskService.
func (s *service) Create(_ context.Context, r *taskapi.CreateTaskRequest) (*taskapi.CreateTaskResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.container != nil {
		return nil, errgrpc.ToGRPCf(errdefs.ErrAlreadyExists, "container %q", s.container.ID)
	}
	s.container = &container{CreateTaskRequest: r, status: task.Status_CREATED, ended: make(chan struct{})}
	s.events.send(&eventsapi.TaskCreate{
		ContainerID: r.ID, Bundle: r.Bundle, Rootfs: r.Rootfs, Checkpoint: r.Checkpoint, Pid: s.pid,
		IO: &eventsapi.TaskIO{Stdin: r.Stdin, Stdout: r.Stdout, Stderr: r.Stderr, Terminal: r.Terminal},
	})
	return &taskapi.CreateTaskResponse{Pid: s.pid}, nil
}

// Start implements taskapi.TTRPCTaskService.
func (s *service) Start(_ context.Context, r *taskapi.StartRequest) (*taskapi.StartResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.get(r.ID, r.ExecID)
	if err != nil {
		return nil, err
	}
	if c.status != task.Status_CREATED {
		return nil, errgrpc.ToGRPCf(errdefs.ErrFailedPrecondition, "container %q has been started before", c.ID)
	}
	ended, err := noop.Run(c.ID, c.Stdout)
	if err != nil {
		return nil, err
	}
	c.status = task.Status_RUNNING
	s.events.send(&eventsapi.TaskStart{ContainerID: c.ID, Pid: s.pid})
	if ended {
		s.end(c, 0)
	}
	return &taskapi.StartResponse{Pid: s.pid}, nil
}

// end is called with mu held.
func (s *service) end(c *container, exit uint32) {
	c.status, c.exit, c.at = task.Status_STOPPED, exit, time.Now()
	close(c.ended)
	s.events.send(&eventsapi.TaskExit{
		ContainerID: c.ID, ID: c.ID, Pid: s.pid, ExitStatus: exit, ExitedAt: protobuf.ToTimestamp(c.at),
	})
}

// Kill implements taskapi.TTRPCTaskService.
func (s *service) Kill(_ context.Context, r *taskapi.KillRequest) (*emptypb.Empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.get(r.ID, r.ExecID)
	if err != nil {
		return nil, err
	}
	if c.status == task.Status_STOPPED {
		return nil, errgrpc.ToGRPCf(errdefs.ErrNotFound, "container %q has ended already", c.ID)
	}
	s.end(c, 128+r.Signal)
	return &emptypb.Empty{}, nil
}

// Wait implements taskapi.TTRPCTaskService.
func (s *service) Wait(ctx context.Context, r *taskapi.WaitRequest) (*taskapi.WaitResponse, error) {
	s.mu.Lock()
	c, err := s.get(r.ID, r.ExecID)
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	select {
	case <-c.ended:
		return &taskapi.WaitResponse{ExitStatus: c.exit, ExitedAt: protobuf.ToTimestamp(c.at)}, nil
	case <-ctx.Done():
		return nil, errgrpc.ToGRPC(ctx.Err())
	}
}

// Delete implements taskapi.TTRPCTaskService.
func (s *service) Delete(_ context.Context, r *taskapi.DeleteRequest) (*taskapi.DeleteResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.get(r.ID, r.ExecID)
	if err != nil {
		return nil, err
	}
	switch c.status {
	case task.Status_RUNNING:
		return nil, errgrpc.ToGRPCf(errdefs.ErrFailedPrecondition, "container %q is running", c.ID)
	case task.Status_CREATED:
		s.end(c, uint32(killed)) // whoever waits for it is not to wait forever
	}
	s.container = nil
	at := protobuf.ToTimestamp(c.at)
	s.events.send(&eventsapi.TaskDelete{ContainerID: c.ID, Pid: s.pid, ExitStatus: c.exit, ExitedAt: at})
	return &taskapi.DeleteResponse{Pid: s.pid, ExitStatus: c.exit, ExitedAt: at}, nil
}

// Shutdown implements taskapi.TTRPCTaskService.
func (s *service) Shutdown(context.Context, *taskapi.ShutdownRequest) (*emptypb.Empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.container == nil {
		s.shutdown.Shutdown()
	}
	return &emptypb.Empty{}, nil
}
