package main

import (
	"context"

	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/pkg/protobuf"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"google.golang.org/protobuf/types/known/emptypb"
)

// Connect implements taskapi.TTRPCTaskService.
func (s *service) Connect(_ context.Context, r *taskapi.ConnectRequest) (*taskapi.ConnectResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := &taskapi.ConnectResponse{ShimPid: s.pid}
	if _, err := s.get(r.ID, ""); err == nil {
		answer.TaskPid = s.pid
	}
	return answer, nil
}

// State implements taskapi.TTRPCTaskService.
func (s *service) State(_ context.Context, r *taskapi.StateRequest) (*taskapi.StateResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.get(r.ID, r.ExecID)
	if err != nil {
		return nil, err
	}
	return &taskapi.StateResponse{
		ID: c.ID, Bundle: c.Bundle, Pid: s.pid, Status: c.status,
		Stdin: c.Stdin, Stdout: c.Stdout, Stderr: c.Stderr, Terminal: c.Terminal,
		ExitStatus: c.exit, ExitedAt: protobuf.ToTimestamp(c.at),
	}, nil
}

// Pids implements taskapi.TTRPCTaskService. A containerd that has been restarted ends
// shims that have none.
func (s *service) Pids(_ context.Context, r *taskapi.PidsRequest) (*taskapi.PidsResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.get(r.ID, ""); err != nil {
		return nil, err
	}
	return &taskapi.PidsResponse{Processes: []*task.ProcessInfo{{Pid: s.pid}}}, nil
}

// CloseIO implements taskapi.TTRPCTaskService: nobody has opened stdin.
func (s *service) CloseIO(context.Context, *taskapi.CloseIORequest) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

// What takes a process or a cgroup is not there.
var errNoContainer = errgrpc.ToGRPCf(errdefs.ErrNotImplemented, "a shim without containers")

// Pause implements taskapi.TTRPCTaskService.
func (s *service) Pause(context.Context, *taskapi.PauseRequest) (*emptypb.Empty, error) {
	return nil, errNoContainer
}

// Resume implements taskapi.TTRPCTaskService.
func (s *service) Resume(context.Context, *taskapi.ResumeRequest) (*emptypb.Empty, error) {
	return nil, errNoContainer
}

// Checkpoint implements taskapi.TTRPCTaskService.
func (s *service) Checkpoint(context.Context, *taskapi.CheckpointTaskRequest) (*emptypb.Empty, error) {
	return nil, errNoContainer
}

// Exec implements taskapi.TTRPCTaskService.
func (s *service) Exec(context.Context, *taskapi.ExecProcessRequest) (*emptypb.Empty, error) {
	return nil, errNoContainer
}

// ResizePty implements taskapi.TTRPCTaskService.
func (s *service) ResizePty(context.Context, *taskapi.ResizePtyRequest) (*emptypb.Empty, error) {
	return nil, errNoContainer
}

// Update implements taskapi.TTRPCTaskService.
func (s *service) Update(context.Context, *taskapi.UpdateTaskRequest) (*emptypb.Empty, error) {
	return nil, errNoContainer
}

// Stats implements taskapi.TTRPCTaskService.
func (s *service) Stats(context.Context, *taskapi.StatsRequest) (*taskapi.StatsResponse, error) {
	return nil, errNoContainer
}
