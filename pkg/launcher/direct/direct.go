package direct

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/apparmor"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/bundle"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/container"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/scope"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/launcher"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/oci"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/options"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/reaper"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/room"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/stdio"
)

// Cloner starts the processes of all containers of a shim.
type Cloner struct {
	children *reaper.Reaper

	mu     sync.Mutex
	thread *thread // nil before the first one
}

// NewCloner returns a Cloner whose processes r reaps.
func NewCloner(r *reaper.Reaper) *Cloner { return &Cloner{children: r} }

// Prepare makes the thread that clones before it is needed, which takes a
// millisecond. What is wrong with it shows when it is needed.
func (c *Cloner) Prepare() {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.prepare()
}

func (c *Cloner) prepare() error {
	if c.thread != nil {
		return nil
	}
	t, err := newThread()
	if err != nil {
		return fmt.Errorf("prepare a thread to clone from: %w", err)
	}
	c.thread = t
	return nil
}

// start starts a program in namespaces, and in a new cgroup if there is one.
func (c *Cloner) start(program *reaper.Program, ns *namespaces, cgroup *container.Cgroup) (pid int, exits <-chan reaper.Exit, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.prepare(); err != nil {
		return 0, nil, err
	}
	pid, exits, err = c.thread.start(c.children, program, ns.joined, cgroup)
	if errors.Is(err, errLost) || errors.Is(err, container.ErrLost) {
		c.thread = nil // it stays where it is, for its children
	}
	return pid, exits, err
}

// Launcher implements launcher.Launcher.
type Launcher struct {
	cloner  *Cloner
	options options.Options
	log     *log.Entry
	next    launcher.Launcher
}

// New returns a launcher that leaves to next what it does not understand.
func New(c *Cloner, o options.Options, logger *log.Entry, next launcher.Launcher) *Launcher {
	return &Launcher{cloner: c, options: o, log: logger, next: next}
}

var _ launcher.Launcher = (*Launcher)(nil)

// Create makes the container of a Wasm plan, or lets the next launcher do it and
// logs the reason.
func (l *Launcher) Create(ctx context.Context, r launcher.Request) (launcher.Container, error) {
	if r.Plan.Kind != oci.Wasm || l.options.Launcher == options.LauncherRunc {
		return l.next.Create(ctx, r)
	}
	entry := l.log.WithField("id", r.ID)
	if reason := outside(r.Config, l.options, r.Plan.Job); reason != "" {
		if l.options.Launcher == options.LauncherDirect {
			return nil, fmt.Errorf("the runtime option launcher is %q, which does not understand %s: %w", options.LauncherDirect, reason, errdefs.ErrFailedPrecondition)
		}
		entry.WithFields(log.Fields{"launcher": options.LauncherRunc, "reason": reason}).Info("container created")
		return l.next.Create(ctx, r)
	}
	c, warning, err := l.create(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("create the container: %w", err)
	}
	if warning != "" {
		entry.Warn(warning)
	}
	entry.WithField("launcher", options.LauncherDirect).Info("container created")
	return c, nil
}

func (l *Launcher) create(ctx context.Context, r launcher.Request) (_ *directContainer, warning string, retErr error) {
	spec := r.Config.Spec
	// The runner takes it on as late as its start.
	if err := apparmor.Check(spec.Process.ApparmorProfile); err != nil {
		return nil, "", err
	}
	ns, err := namespacesOf(spec)
	if err != nil {
		return nil, "", err
	}
	defer ns.close()
	cg, err := l.prepareCgroup(r.Bundle, spec)
	if err != nil {
		// What is there is somebody else's.
		return nil, "", errors.Join(err, r.Bundle.RemoveDirect())
	}
	c := &directContainer{
		cloner: l.cloner, spec: spec, cgroup: cg, log: l.log.WithField("id", r.ID),
		hooks: &hooks{start: l.cloner.children.StartCommand, id: r.ID, dir: r.Bundle, spec: spec},
	}
	defer func() {
		if retErr != nil {
			err := cg.Remove()
			if err == nil {
				err = r.Bundle.RemoveDirect()
			}
			retErr = errors.Join(retErr, err)
		}
	}()
	c.init, warning, err = c.launch(ctx, launch{
		process: spec.Process, plan: r.Plan, room: roomOf(r.Config), namespaces: ns,
		streams: r.Streams, terminal: r.Terminal, code: r.Code, cgroup: cg, born: r.Born,
	})
	return c, warning, err
}

// prepareCgroup also records what there is to clean up, before it is there.
func (l *Launcher) prepareCgroup(dir bundle.Dir, spec *specs.Spec) (*container.Cgroup, error) {
	if !l.options.UsesSystemd(spec) {
		if err := dir.WriteDirect(bundle.Direct{Cgroup: spec.Linux.CgroupsPath}); err != nil {
			return nil, err
		}
		return container.Prepare(spec.Linux.CgroupsPath, spec.Linux.Resources)
	}
	name, err := scope.Parse(spec.Linux.CgroupsPath)
	if err != nil {
		return nil, err
	}
	cg, err := container.PrepareScope(name, spec.Linux.Resources)
	if err != nil {
		return nil, err
	}
	return cg, dir.WriteDirect(bundle.Direct{Cgroup: name.Path(), Unit: name.Unit})
}

// launch starts a runner and waits until it is in its room and has its code.
func (c *directContainer) launch(ctx context.Context, l launch) (_ *launcher.Process, warning string, retErr error) {
	plan := *l.plan
	j := *plan.Job
	j.Room = l.room
	plan.Job = &j
	handoff, err := launcher.NewHandoff(&plan)
	if err != nil {
		return nil, "", err
	}
	p, err := c.clone(l, handoff)
	if err != nil {
		handoff.Close()
		return nil, "", err
	}
	defer func() {
		if retErr != nil {
			p.Discard()
		}
	}()
	if l.cgroup != nil {
		err = l.cgroup.Begin(ctx, p.Pid)
	} else {
		err = c.cgroup.Add(p.Pid) // where it is not yet
	}
	if err != nil {
		return nil, "", err
	}
	if err := handoff.Enter(l.root); err != nil && !errors.Is(err, syscall.EPIPE) { // it may have said why it is gone
		return nil, "", err
	}
	if l.room.Hooks {
		if err := c.runCreating(ctx, p, handoff); err != nil {
			return nil, "", explain(err)
		}
	}
	provided := handoff.ProvideMeanwhile(ctx, l.code)
	p.Cgroup = c.cgroup.Path()
	if l.born != nil {
		l.born(p)
	}
	entering, cancel := context.WithTimeout(ctx, enterTimeout)
	defer cancel()
	warning, err = handoff.Entered(entering)
	provideErr := provided(err != nil)
	if err != nil {
		return nil, "", explain(err)
	}
	return p, warning, provideErr
}

// runCreating runs hooks when the container has everything but its root.
func (c *directContainer) runCreating(ctx context.Context, p *launcher.Process, handoff *launcher.Handoff) error {
	preparing, cancel := context.WithTimeout(ctx, enterTimeout)
	defer cancel()
	if err := handoff.Prepared(preparing); err != nil {
		return err
	}
	if err := c.hooks.run(ctx, "prestart or createRuntime", c.hooks.creating(), specs.StateCreating, p.Pid); err != nil {
		return err
	}
	return handoff.Proceed()
}

func explain(err error) error {
	if launcher.IsRunnerGone(err) {
		return errors.New("the runner ended before it had made its room: the memory limit or the limit of processes may be too low")
	}
	return err
}

// enterTimeout bounds what takes milliseconds: the sources of mounts may be on
// servers that do not answer.
const enterTimeout = 2 * time.Minute

// launch is a process to be started.
type launch struct {
	process    *specs.Process
	plan       *oci.Plan
	room       *room.Room
	root       *os.File // of a room to join, or nil
	namespaces *namespaces
	streams    *stdio.Streams
	terminal   bool
	code       launcher.CodeSource
	cgroup     *container.Cgroup // a new one, the limits of which are not set yet, or nil
	born       func(*launcher.Process)
}

// runner is the program of a container's process. It has its user's supplementary
// groups from the start, since they are in nobody's way, and to change them when
// there are threads takes much longer; it becomes that user when its room is made.
func runner(l launch, handoff *launcher.Handoff, streams *ends) *reaper.Program {
	rewritten := oci.RewriteProcess(l.process, l.plan)
	return &reaper.Program{
		Path: job.ExecPath, Args: rewritten.Args, Env: rewritten.Env, Dir: "/",
		Files: append([]*os.File{streams.in, streams.out, streams.err}, handoff.Files()...),
		Attr: &syscall.SysProcAttr{
			Setsid: true, Cloneflags: l.namespaces.created,
			Credential: &syscall.Credential{Uid: uint32(os.Geteuid()), Gid: uint32(os.Getegid()), Groups: l.process.User.AdditionalGids},
		},
	}
}

// clone starts the process.
func (c *directContainer) clone(l launch, handoff *launcher.Handoff) (*launcher.Process, error) {
	streams, err := openEnds(l.streams, l.process, l.terminal)
	if err != nil {
		return nil, err
	}
	defer streams.close()
	program := runner(l, handoff, streams)
	c.freezing.RLock()
	defer c.freezing.RUnlock()
	if dir, ok := c.cgroup.FD(); ok {
		defer dir.Close() // and not before: without a use of it, the garbage collector would
		program.Attr.UseCgroupFD, program.Attr.CgroupFD = true, int(dir.Fd())
	}
	pid, exits, err := c.cloner.start(program, l.namespaces, l.cgroup)
	if err != nil {
		return nil, fmt.Errorf("clone the runner: %w", err)
	}
	l.streams.ProcessStarted()
	handoff.Inherited()
	p, err := launcher.NewProcess(pid, exits, handoff)
	if err != nil {
		c.cloner.children.Kill(pid)
		return nil, err
	}
	p.AtEnd(c.cloner.children.Reap)
	if l.root == nil { // the mounts are its own, and not those of a room that it joins
		// Without it the exit would take longer, and nothing else.
		if mounts, err := os.Open(fmt.Sprintf("/proc/%d/ns/mnt", pid)); err == nil {
			p.Keep(mounts)
		}
	}
	if err := streams.attach(l.streams); err != nil {
		p.Discard()
		return nil, err
	}
	return p, nil
}
