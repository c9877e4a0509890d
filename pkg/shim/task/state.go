package task

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/containerd/api/types/runc/options"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	"google.golang.org/protobuf/types/known/anypb"
)

// State describes a process. It never waits.
func (s *Service) State(_ context.Context, r *task.StateRequest) (*task.StateResponse, error) {
	p, err := s.process(r.ID, r.ExecID)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	resp := &task.StateResponse{
		ID: p.container.id, ExecID: p.execID, Bundle: string(p.container.dir),
		Status: p.phase.status(),
		Stdin:  p.io.stdin, Stdout: p.io.stdout, Stderr: p.io.stderr, Terminal: p.io.terminal,
		ExitStatus: p.exit.status, ExitedAt: timestamp(p.exit.at),
	}
	if p.os != nil {
		resp.Pid = uint32(p.os.Pid)
	}
	return resp, nil
}

// Wait returns when the process has ended, or at once if it had.
func (s *Service) Wait(ctx context.Context, r *task.WaitRequest) (*task.WaitResponse, error) {
	p, err := s.process(r.ID, r.ExecID)
	if err != nil {
		return nil, err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	e := p.status()
	return &task.WaitResponse{ExitStatus: e.status, ExitedAt: timestamp(e.at)}, nil
}

// Pids lists the processes in the container, as the host numbers them; those
// that are execs say which.
func (s *Service) Pids(_ context.Context, r *task.PidsRequest) (*task.PidsResponse, error) {
	c, err := s.container(r.ID)
	if err != nil {
		return nil, err
	}
	if c.cgroup == nil {
		return nil, fmt.Errorf("container %q has no readable cgroup: %w", c.id, errdefs.ErrNotFound)
	}
	pids, err := c.cgroup.Pids()
	if err != nil {
		return nil, err
	}
	slices.Sort(pids)
	execs := make(map[int]string)
	for _, p := range c.allExecs() {
		execs[p.pid()] = p.execID
	}
	resp := &task.PidsResponse{}
	for _, pid := range pids {
		info := &tasktypes.ProcessInfo{Pid: uint32(pid)}
		if id, ok := execs[pid]; ok {
			if info.Info, err = typeurl.MarshalAnyToProto(&options.ProcessDetails{ExecID: id}); err != nil {
				return nil, err
			}
		}
		resp.Processes = append(resp.Processes, info)
	}
	return resp, nil
}

// Stats are the figures of the container's cgroup, also after its end, until
// Delete: CRI looks for oom_kill then.
func (s *Service) Stats(_ context.Context, r *task.StatsRequest) (*task.StatsResponse, error) {
	c, err := s.container(r.ID)
	if err != nil {
		return nil, err
	}
	if c.cgroup == nil {
		return nil, fmt.Errorf("container %q has no readable cgroup: %w", c.id, errdefs.ErrNotFound)
	}
	figures, err := c.cgroup.Stats()
	if err != nil {
		return nil, err
	}
	return &task.StatsResponse{Stats: &anypb.Any{TypeUrl: figures.TypeURL, Value: figures.Value}}, nil
}

// Connect tells the pids of the shim and of a container's init; 0 if the
// container is not known.
func (s *Service) Connect(_ context.Context, r *task.ConnectRequest) (*task.ConnectResponse, error) {
	resp := &task.ConnectResponse{ShimPid: uint32(os.Getpid())}
	if c, err := s.container(r.ID); err == nil {
		resp.TaskPid = uint32(c.init.pid())
	}
	return resp, nil
}
