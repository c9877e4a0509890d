package task

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/errdefs"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/bundle"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/launcher"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/oci"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/options"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/events"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/rootfs"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/taskapi"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/wire"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/stdio"
)

// Create makes a container whose init process waits for Start. If it fails,
// nothing is left and no event is sent.
func (s *Service) Create(ctx context.Context, r *taskapi.CreateTaskRequest) (*taskapi.CreateTaskResponse, error) {
	if r.Checkpoint != "" {
		return nil, fmt.Errorf("restore from a checkpoint: %w", errdefs.ErrNotImplemented)
	}
	patience, abandon := context.WithCancel(ctx)
	defer abandon()
	if err := s.reserve(r.ID, abandon); err != nil {
		return nil, err
	}
	s.Arrived(r.ID)
	c, err := s.create(detached(ctx), patience, r)
	if err == nil && !s.wanted(r.ID) {
		err = errors.Join(fmt.Errorf("container %q was deleted while it was created: %w", r.ID, errdefs.ErrFailedPrecondition), c.discard(detached(ctx)))
	}
	if err != nil {
		s.forget(r.ID)
		if ctx.Err() != nil { // nobody is there to say Shutdown
			_ = s.StopIfIdle(detached(ctx))
		}
		return nil, err
	}
	s.Publish(&events.TaskCreate{
		ContainerID: c.id,
		Bundle:      string(c.dir),
		Rootfs:      r.Rootfs,
		IO: &events.TaskIO{
			Stdin: r.Stdin, Stdout: r.Stdout, Stderr: r.Stderr, Terminal: r.Terminal,
		},
		Checkpoint: r.Checkpoint,
		Pid:        uint32(c.init.pid()),
	})
	s.put(c)
	s.watch(c)
	return &taskapi.CreateTaskResponse{Pid: uint32(c.init.pid())}, nil
}

// create makes the container. What it has begun it finishes or undoes; patience
// ends its wait for a compiler.
func (s *Service) create(ctx, patience context.Context, r *taskapi.CreateTaskRequest) (_ *container, retErr error) {
	opts, unknown, err := options.Parse(r.Options.GetTypeURL(), r.Options.GetValue())
	if err != nil {
		return nil, fmt.Errorf("runtime options: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	if len(unknown) > 0 {
		s.logger(r.ID).Warn(options.UnknownError(unknown))
	}
	c := &container{
		id: r.ID, dir: bundle.Dir(filepath.Clean(r.Bundle)), options: opts,
		execs: make(map[string]*process),
	}
	c.init = newProcess(c, "", ioNames{r.Stdin, r.Stdout, r.Stderr, r.Terminal})
	defer func() {
		if retErr != nil {
			retErr = errors.Join(retErr, c.discard(ctx))
		}
	}()
	c.state = bundle.State{ID: c.id, Namespace: s.Namespace, RuncBinary: opts.RuncBinary}
	if err := s.mountRootfs(c, r.Rootfs); err != nil {
		return nil, err
	}
	if err := s.launch(ctx, patience, c); err != nil {
		return nil, err
	}
	return c, nil
}

// mountRootfs mounts what containerd hands over. Docker hands nothing: it has
// mounted the rootfs itself.
func (s *Service) mountRootfs(c *container, mounts []*wire.Mount) error {
	if len(mounts) == 0 {
		return nil
	}
	target := c.dir.Rootfs()
	if err := os.Mkdir(target, 0o711); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("mount rootfs: %w", err)
	}
	c.state.MountedRootfs = true
	if err := rootfs.Mount(mounts, target, s.Run); err != nil {
		return fmt.Errorf("mount rootfs on %s: %w", target, err)
	}
	return nil
}

// launch plans what to run and creates the OS container.
func (s *Service) launch(ctx, patience context.Context, c *container) error {
	if err := s.Prepare(c.id, c.dir); err != nil {
		return err
	}
	config, err := oci.ReadSpec(c.dir.Path("config.json"))
	if err != nil {
		return err
	}
	plan, err := s.plan(patience, c, config)
	if err != nil {
		return err
	}
	defer plan.Close()
	c.spec, c.wasm = config.Spec, plan.Kind == oci.Wasm
	c.state.Native = !c.wasm
	if c.spec.Linux != nil {
		c.state.CgroupsPath = c.spec.Linux.CgroupsPath
	}
	c.state.SystemdCgroup = c.options.UsesSystemd(c.spec)
	if err := c.dir.WriteState(c.state); err != nil {
		return err
	}
	streams, err := stdio.Open(s.streams(c.init, oci.UserOf(c.spec.Process, c.spec)))
	if err != nil {
		return err
	}
	c.init.open(streams)
	code, err := s.beginCode(patience, c.init, plan)
	if err != nil {
		return err
	}
	var recorded error
	c.os, err = s.Launcher(c.options).Create(ctx, launcher.Request{
		ID: c.id, Bundle: c.dir, Config: config, Plan: plan, Code: code, Streams: streams, Terminal: c.init.io.terminal,
		Born: func(p *launcher.Process) {
			c.init.os = p
			s.loadCgroup(c)
			c.state.Pid = p.Pid
			recorded = c.dir.WriteState(c.state)
		},
	})
	if err != nil {
		c.init.os = nil // the launcher has ended it
		return err
	}
	return recorded
}

func planContainer(config *oci.Config) (*oci.Plan, error) {
	tree, err := config.Tree()
	if err != nil {
		return nil, err
	}
	defer tree.Close()
	return oci.PlanContainer(config.Spec, tree)
}

// streams is how a process's streams are to be opened.
func (s *Service) streams(p *process, user oci.User) stdio.Config {
	if o := p.container.options; o.IoUID != 0 || o.IoGID != 0 {
		user.UID, user.GID = o.IoUID, o.IoGID
	}
	return stdio.Config{
		Stdin: p.io.stdin, Stdout: p.io.stdout, Stderr: p.io.stderr, Terminal: p.io.terminal,
		ContainerID: p.container.id, Namespace: s.Namespace,
		UID: int(user.UID), GID: int(user.GID),
		Start: s.StartLogger, Alone: s.Alone,
		Warn: func(err error) { s.logger(p.container.id).WithError(err).Warn("the output of " + p.String()) },
	}
}

// loadCgroup is allowed to fail: a container without readable cgroups runs,
// but has no figures.
func (s *Service) loadCgroup(c *container) {
	cg, err := cgroupOf(c.init.os)
	if err != nil {
		s.logger(c.id).WithError(err).Warn("no figures for this container")
		return
	}
	c.cgroup = cg
	c.state.Cgroup = cg.Path()
	if kills, err := cg.OOMKills(); err == nil {
		c.oom.news(kills) // a cgroup that was there before has its own past
	}
	s.watchOOM(c)
}

func cgroupOf(p *launcher.Process) (cgroup.Cgroup, error) {
	if p.Cgroup != "" {
		return cgroup.At(p.Cgroup)
	}
	return cgroup.Of(p.Pid)
}

// discard undoes a Create that failed.
func (c *container) discard(ctx context.Context) error {
	var errs []error
	if c.unwatchOOM != nil {
		c.unwatchOOM()
	}
	if c.os != nil {
		errs = append(errs, c.os.Delete(ctx))
	}
	c.init.release()
	errs = append(errs, c.unmountRootfs(ctx))
	return errors.Join(errs...)
}

// unmountRootfs unmounts what mountRootfs has mounted, if anything; idempotent.
func (c *container) unmountRootfs(ctx context.Context) error {
	if !c.state.MountedRootfs {
		return nil
	}
	return c.dir.UnmountRootfs(ctx)
}
