package task

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/launcher"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/oci"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/events"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/taskapi"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/wire"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/stdio"
)

// Start lets the init process run, or starts an exec.
func (s *Service) Start(ctx context.Context, r *taskapi.StartRequest) (*taskapi.StartResponse, error) {
	p, err := s.process(r.ID, r.ExecID)
	if err != nil {
		return nil, err
	}
	p.lock()
	defer p.unlock()
	if p.execID == "" {
		err = s.startInit(detached(ctx), p)
	} else {
		err = s.startExec(ctx, p)
	}
	if err != nil {
		return nil, err
	}
	return &taskapi.StartResponse{Pid: uint32(p.pid())}, nil
}

func (s *Service) startInit(ctx context.Context, p *process) error {
	c := p.container
	if err := p.step(starting, "start"); err != nil {
		return err
	}
	err := p.streams.Feed()
	if err == nil {
		err = c.os.Start(ctx)
	}
	if err != nil {
		p.abort()
		_ = p.signal(unix.SIGKILL)
		<-p.done // the exit is not news, but Delete must find the process stopped
		if launcher.IsRunnerGone(err) {
			return p.goneError()
		}
		return err
	}
	s.started(p, &events.TaskStart{ContainerID: c.id, Pid: uint32(p.pid())})
	return nil
}

// goneError says why a runner ended before it was ready, as far as its exit
// status and what was asked of the shim tell.
func (p *process) goneError() error {
	status := p.status().status
	switch {
	case p.isDoomed():
		return fmt.Errorf("%s was killed while it started, as was asked for: the status is %d", p, status)
	case status == 128+uint32(unix.SIGKILL):
		return errors.New("the runner was killed before the module was loaded, probably for want of memory: raise the container's memory limit")
	}
	return fmt.Errorf("the runner ended with status %d before the module was loaded; its messages are in the container's log", status)
}

// abort makes the end of a process that could not be started nobody's news.
func (p *process) abort() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent = true
	if p.early != nil {
		p.stopLocked(*p.early)
	}
}

// started publishes the start of p, and then its end if that has come already:
// no exit is published before its start.
func (s *Service) started(p *process, event events.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.Publish(event)
	p.phase = running
	if p.code != nil {
		p.code.started(p.os.Handoff.Loaded())
	}
	if p.early != nil {
		s.exitedLocked(p, *p.early)
	}
}

// startExec plans and launches an exec in the running container. The end of ctx
// only ends the wait for a compiler.
func (s *Service) startExec(ctx context.Context, p *process) error {
	c := p.container
	if c.init.current() == paused { // it would not get far
		return fmt.Errorf("exec in container %q: it is paused, resume it first: %w", c.id, errdefs.ErrFailedPrecondition)
	}
	if err := c.beginExec(); err != nil {
		return err
	}
	if err := p.step(starting, "start"); err != nil {
		c.endExec()
		return err
	}
	os, err := s.launchExec(ctx, p)
	if err != nil {
		p.abort()
		p.stop(exit{status: 255, at: time.Now()})
		c.endExec()
		return err
	}
	p.mu.Lock()
	p.os = os
	p.mu.Unlock()
	if c.ended() { // those that were there before have been killed, see waitInit
		_ = os.Signal(unix.SIGKILL)
	}
	told := make(chan struct{})
	defer close(told)
	go func() {
		defer c.endExec()
		s.waitExec(p, os)
		<-told // or the end of init would be told before
	}()
	s.started(p, &events.TaskExecStarted{ContainerID: c.id, ExecID: p.execID, Pid: uint32(os.Pid)})
	if p.isGivenUp() { // too late to say so, and nobody may come again
		_ = os.Signal(unix.SIGKILL)
	}
	return nil
}

func (s *Service) launchExec(ctx context.Context, p *process) (*launcher.Process, error) {
	c := p.container
	plan, err := s.planExec(ctx, p)
	if err != nil {
		return nil, err
	}
	defer plan.Close()
	if c.wasm && plan.Kind == oci.Native && !c.options.AllowNativeExec {
		return nil, fmt.Errorf("exec %q: it is a native program and this is a Wasm container: exec a module of the image, or set the runtime option allow_native_exec: %w",
			p.spec.Args[0], errdefs.ErrFailedPrecondition)
	}
	streams, err := stdio.Open(s.streams(p, oci.UserOf(p.spec, c.spec)))
	if err != nil {
		return nil, err
	}
	p.open(streams)
	code, err := s.beginCode(ctx, p, plan)
	if err != nil {
		return nil, err
	}
	os, err := c.os.Exec(detached(ctx), launcher.ExecRequest{
		ID: p.execID, Process: p.spec, Plan: plan, Code: code, Streams: streams, Terminal: p.io.terminal,
	})
	if err != nil {
		return nil, err
	}
	if p.isGivenUp() {
		os.Discard()
		return nil, fmt.Errorf("%s was deleted while it started: %w", p, errdefs.ErrFailedPrecondition)
	}
	if err := streams.Feed(); err != nil { // the FIFO has vanished: it just gets no input
		s.logger(c.id).WithError(err).Warn("an exec has no stdin")
	}
	return os, nil
}

func planExec(p *process) (*oci.Plan, error) {
	tree, err := oci.LiveTree(p.container.init.pid())
	if err != nil {
		return nil, err
	}
	defer tree.Close()
	return oci.PlanExec(p.spec, p.container.spec, tree)
}

// Exec registers an additional process; Start starts it.
func (s *Service) Exec(_ context.Context, r *taskapi.ExecProcessRequest) (*wire.Empty, error) {
	c, err := s.container(r.ID)
	if err != nil {
		return nil, err
	}
	if r.ExecID == "" {
		return nil, fmt.Errorf("exec in container %q: the exec id is empty: %w", c.id, errdefs.ErrInvalidArgument)
	}
	if ph := c.init.current(); ph != running && ph != paused {
		return nil, notRunning(c.id)
	}
	var spec specs.Process
	if err := json.Unmarshal(r.Spec.GetValue(), &spec); err != nil {
		return nil, fmt.Errorf("exec in container %q: decode the process: %w: %w", c.id, err, errdefs.ErrInvalidArgument)
	}
	if len(spec.Args) == 0 {
		return nil, fmt.Errorf("exec in container %q: args is empty: name a program: %w", c.id, errdefs.ErrInvalidArgument)
	}
	spec.Terminal = r.Terminal
	p := newProcess(c, r.ExecID, ioNames{r.Stdin, r.Stdout, r.Stderr, r.Terminal})
	p.spec = &spec
	if err := c.addExec(p); err != nil {
		return nil, err
	}
	s.Publish(&events.TaskExecAdded{ContainerID: c.id, ExecID: p.execID})
	return &wire.Empty{}, nil
}
