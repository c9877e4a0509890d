package direct

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/bundle"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/container"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/launcher"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/oci"
)

// directContainer implements launcher.Container.
type directContainer struct {
	cloner *Cloner
	spec   *specs.Spec
	cgroup *container.Cgroup
	init   *launcher.Process
}

func (c *directContainer) Init() *launcher.Process { return c.init }

func (c *directContainer) Start(ctx context.Context) error { return c.init.Handoff.Run(ctx) }

// Exec starts a runner in the room of the container.
func (c *directContainer) Exec(ctx context.Context, r launcher.ExecRequest) (*launcher.Process, error) {
	if r.Plan.Kind != oci.Wasm {
		return nil, fmt.Errorf("exec %q: it is a native program: %w", r.Process.Args[0], errdefs.ErrFailedPrecondition)
	}
	if why := outsideProcess(r.Process); why != "" {
		return nil, fmt.Errorf("exec: %s is not for a container that was made without runc: set the runtime option launcher to runc: %w", why, errdefs.ErrFailedPrecondition)
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
	room := processRoom(r.Process)
	room.Join, room.OOMScore = true, c.spec.Process.OOMScoreAdj
	room.User.Umask = umask(c.spec.Process)
	p, _, err := c.launch(ctx, launch{
		process: r.Process, plan: r.Plan, room: room, root: root, namespaces: ns,
		streams: r.Streams, terminal: r.Terminal, code: r.Code, cpu: cpuOf(c.spec),
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

func (c *directContainer) Pause(ctx context.Context) error  { return c.cgroup.Freeze(ctx) }
func (c *directContainer) Resume(ctx context.Context) error { return c.cgroup.Thaw(ctx) }

func (c *directContainer) Update(_ context.Context, resources *specs.LinuxResources) error {
	if why := container.Unsupported(resources); why != "" {
		return fmt.Errorf("update: %s is not for a container that was made without runc: set the runtime option launcher to runc: %w", why, errdefs.ErrNotImplemented)
	}
	return c.cgroup.Update(resources)
}

func (c *directContainer) KillAll(context.Context) error { return c.cgroup.Kill() }

func (c *directContainer) Delete(context.Context) error {
	_ = c.init.Signal(unix.SIGKILL) // mostly it has ended
	return c.cgroup.Remove()
}

// Cleanup kills and removes what is left of the container whose bundle is dir, for
// the delete helper. It is idempotent and succeeds if there is nothing, or if
// another launcher made the container. Namespaces and mounts end with processes.
func Cleanup(_ context.Context, dir bundle.Dir, _ string) error {
	d, err := dir.ReadDirect()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	cg, err := container.Open(d.Cgroup)
	if err != nil {
		return err
	}
	return cg.Remove()
}

func cpuOf(spec *specs.Spec) *specs.LinuxCPU {
	if spec.Linux.Resources == nil {
		return nil
	}
	return spec.Linux.Resources.CPU
}
