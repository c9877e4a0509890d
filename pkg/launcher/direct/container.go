package direct

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/apparmor"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/bundle"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/container"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/launcher"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/oci"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/reaper"
)

// directContainer implements launcher.Container.
type directContainer struct {
	cloner *Cloner
	spec   *specs.Spec
	cgroup *container.Cgroup
	init   *launcher.Process
	hooks  *hooks
	log    *log.Entry

	freezing sync.RWMutex // held for writing to freeze, for reading to clone
	deleted  sync.Once    // to run the last hooks
}

func (c *directContainer) Init() *launcher.Process { return c.init }

func (c *directContainer) Start(ctx context.Context) error {
	if err := c.init.Handoff.Run(ctx); err != nil {
		return err
	}
	return c.hooks.run(ctx, "poststart", c.hooks.poststart(), specs.StateRunning, c.init.Pid)
}

// Exec starts a runner in the room of the container.
func (c *directContainer) Exec(ctx context.Context, r launcher.ExecRequest) (*launcher.Process, error) {
	if r.Plan.Kind != oci.Wasm {
		return nil, fmt.Errorf("exec %q: it is a native program: %w", r.Process.Args[0], errdefs.ErrFailedPrecondition)
	}
	if why := outsideProcess(r.Process); why != "" {
		return nil, fmt.Errorf("exec: %s is not for a container that was made without runc: set the runtime option launcher to runc: %w", why, errdefs.ErrFailedPrecondition)
	}
	if err := apparmor.Check(r.Process.ApparmorProfile); err != nil {
		return nil, fmt.Errorf("exec: %w", err)
	}
	ns, err := namespacesOfProcess(c.init.Pid)
	if err != nil {
		return nil, err
	}
	defer ns.close()
	root, err := os.OpenFile(fmt.Sprintf("/proc/%d/root", c.init.Pid), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, fmt.Errorf("the container's root: %w", err)
	}
	defer root.Close()
	// All these are of the container's process if that has not been reaped by now:
	// then nobody else can have its number.
	if err := c.init.Signal(0); err != nil {
		return nil, fmt.Errorf("exec: %w", err)
	}
	room := processRoom(r.Process)
	room.Join, room.OOMScore = true, c.spec.Process.OOMScoreAdj
	room.User.Umask = umask(c.spec.Process)
	p, _, err := c.launch(ctx, launch{
		process: r.Process, plan: r.Plan, room: room, root: root, namespaces: ns,
		streams: r.Streams, terminal: r.Terminal, code: r.Code,
	})
	if err != nil {
		return nil, err
	}
	if err := p.Handoff.Run(ctx); err != nil {
		p.Discard()
		return nil, err
	}
	return p, nil
}

func (c *directContainer) Pause(ctx context.Context) error {
	c.freezing.Lock()
	defer c.freezing.Unlock()
	return c.cgroup.Freeze(ctx)
}

func (c *directContainer) Resume(ctx context.Context) error { return c.cgroup.Thaw(ctx) }

func (c *directContainer) Update(ctx context.Context, resources *specs.LinuxResources) error {
	if why := container.Unsupported(resources); why != "" {
		return fmt.Errorf("update: %s is not for a container that was made without runc: set the runtime option launcher to runc: %w", why, errdefs.ErrNotImplemented)
	}
	return c.cgroup.Update(ctx, resources)
}

func (c *directContainer) KillAll(context.Context) error { return c.cgroup.Kill() }

func (c *directContainer) Delete(ctx context.Context) error {
	_ = c.init.Signal(unix.SIGKILL) // mostly it has ended
	if err := c.cgroup.Remove(); err != nil {
		return err
	}
	c.deleted.Do(func() {
		if err := c.hooks.run(ctx, "poststop", c.hooks.poststop(), specs.StateStopped, 0); err != nil {
			c.log.WithError(err).Warn("the container is deleted all the same")
		}
	})
	return c.hooks.dir.RemoveDirect()
}

// Cleanup kills and removes what is left of the container whose bundle is dir, for
// the delete helper. It is idempotent and succeeds if there is nothing, or if
// another launcher made the container. Namespaces and mounts end with processes.
func Cleanup(ctx context.Context, dir bundle.Dir, id string) error {
	d, err := dir.ReadDirect()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	cg, err := container.Open(d.Cgroup, d.Unit)
	if err != nil {
		return err
	}
	if err := cg.Remove(); err != nil {
		return err
	}
	if config, err := oci.ReadSpec(dir.Path("config.json")); err == nil { // Create has read it
		h := &hooks{start: startHere, id: id, dir: dir, spec: config.Spec}
		_ = h.run(ctx, "poststop", h.poststop(), specs.StateStopped, 0) // nobody to tell
	}
	return dir.RemoveDirect()
}

// startHere starts a program in a process without a reaper.
func startHere(cmd *exec.Cmd) (<-chan reaper.Exit, error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	exits := make(chan reaper.Exit, 1)
	go func() {
		_ = cmd.Wait()
		exits <- reaper.Exit{Pid: cmd.Process.Pid, Status: uint32(cmd.ProcessState.ExitCode())}
	}()
	return exits, nil
}
