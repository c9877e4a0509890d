package task

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/containerd/errdefs"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/taskapi"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/wire"
)

// State describes a process. It never waits.
func (s *Service) State(_ context.Context, r *taskapi.StateRequest) (*taskapi.StateResponse, error) {
	p, err := s.process(r.ID, r.ExecID)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	resp := &taskapi.StateResponse{
		ID: p.container.id, ExecID: p.execID, Bundle: string(p.container.dir),
		Status: p.phase.status(),
		Stdin:  p.io.stdin, Stdout: p.io.stdout, Stderr: p.io.stderr, Terminal: p.io.terminal,
		ExitStatus: p.exit.status, ExitedAt: wire.Time(p.exit.at),
	}
	if p.os != nil {
		resp.Pid = uint32(p.os.Pid)
	}
	return resp, nil
}

// Wait returns when the process has ended, or at once if it had.
func (s *Service) Wait(ctx context.Context, r *taskapi.WaitRequest) (*taskapi.WaitResponse, error) {
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
	return &taskapi.WaitResponse{ExitStatus: e.status, ExitedAt: wire.Time(e.at)}, nil
}

// Pids lists the processes in the container, as the host numbers them; those
// that are execs say which.
func (s *Service) Pids(_ context.Context, r *taskapi.PidsRequest) (*taskapi.PidsResponse, error) {
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
	resp := &taskapi.PidsResponse{}
	for _, pid := range pids {
		info := &taskapi.ProcessInfo{Pid: uint32(pid)}
		if id, ok := execs[pid]; ok {
			if info.Info, err = wire.NewAny("containerd.runc.v1.ProcessDetails", &taskapi.ProcessDetails{ExecID: id}); err != nil {
				return nil, err
			}
		}
		resp.Processes = append(resp.Processes, info)
	}
	return resp, nil
}

// Stats are the figures of the container's cgroup, also after its end, until
// Delete: CRI looks for oom_kill then.
func (s *Service) Stats(_ context.Context, r *taskapi.StatsRequest) (*taskapi.StatsResponse, error) {
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
	return &taskapi.StatsResponse{Stats: &wire.Any{TypeURL: figures.TypeURL, Value: figures.Value}}, nil
}

// Connect tells the pids of the shim and of a container's init; 0 if the
// container is not known.
func (s *Service) Connect(_ context.Context, r *taskapi.ConnectRequest) (*taskapi.ConnectResponse, error) {
	resp := &taskapi.ConnectResponse{ShimPid: uint32(os.Getpid())}
	if c, err := s.container(r.ID); err == nil {
		resp.TaskPid = uint32(c.init.pid())
	}
	return resp, nil
}
