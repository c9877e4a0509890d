package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/bench/runtimes/bed"
	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/isolated"
)

// container is a server that runs.
type container struct {
	client.Container
	name   string
	cgroup string // its path in every hierarchy
	task   client.Task
	exited <-chan client.ExitStatus
	said   said
}

// said is what it has written.
type said struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.TrimSpace(s.buf.String())
}

// start starts a variant's server, as `ctr run --net-host` would. It may not listen yet.
func start(ctx context.Context, n *bed.Node, v Variant, program, id string) (_ *container, err error) {
	s := v.servers[program]
	c := &container{name: v.Name + ", " + program, cgroup: filepath.Join(n.Namespace(), id)}
	stored, err := n.ImageService().Get(ctx, s.image.Name)
	if err != nil {
		return nil, err
	}
	img := client.NewImage(n.Client, stored)
	c.Container, err = n.NewContainer(ctx, id,
		client.WithImage(img), client.WithNewSnapshot(id, img), client.WithRuntime(v.Runtime, v.options),
		client.WithNewSpec(
			oci.WithDefaultSpecForPlatform("linux/"+runtime.GOARCH), oci.WithImageConfig(img),
			oci.WithProcessArgs(s.args...), oci.WithEnv(s.env), oci.WithAnnotations(s.annotations),
			oci.WithHostNamespace(specs.NetworkNamespace), withFiles(), oci.WithCgroup("/"+c.cgroup)))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.remove(ctx))
		}
	}()
	if c.task, err = c.NewTask(ctx, cio.NewCreator(cio.WithStreams(nil, &c.said, &c.said))); err != nil {
		return nil, fmt.Errorf("create: %w", err)
	}
	if c.exited, err = c.task.Wait(ctx); err != nil {
		return nil, err
	}
	if err := c.task.Start(ctx); err != nil {
		return nil, fmt.Errorf("start: %w: %s", err, &c.said)
	}
	return c, nil
}

// withFiles lets a container have as many open files as this process may, as Docker
// does: containerd's own 1024 are few for a server.
func withFiles() oci.SpecOpts {
	return func(_ context.Context, _ oci.Client, _ *containers.Container, s *oci.Spec) error {
		var limit unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			return err
		}
		s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: limit.Max, Hard: limit.Max}}
		return nil
	}
}

// remove ends and removes it.
func (c *container) remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	var err error
	if c.task != nil {
		_, err = c.task.Delete(ctx, client.WithProcessKill)
	}
	return errors.Join(err, c.Delete(ctx, client.WithSnapshotCleanup))
}

// stop lets it rest while others are measured, and cont go on. They use signals and not
// the freezer: a frozen process of cgroup v1 cannot be killed, and would outlive a
// benchmark that is.
func (c *container) stop() error { return c.signal(unix.SIGSTOP) }
func (c *container) cont() error { return c.signal(unix.SIGCONT) }

func (c *container) signal(s unix.Signal) error {
	dirs := isolated.Cgroups(c.cgroup)
	if len(dirs) == 0 {
		return fmt.Errorf("%s: there is no cgroup %s", c.name, c.cgroup)
	}
	data, err := os.ReadFile(filepath.Join(dirs[0], "cgroup.procs"))
	if err != nil {
		return err
	}
	for _, field := range strings.Fields(string(data)) {
		pid, err := strconv.Atoi(field)
		if err != nil || pid <= 0 {
			return fmt.Errorf("%s: process %q in its cgroup", c.name, field)
		}
		if err := unix.Kill(pid, s); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("%v to process %d of %s: %w", s, pid, c.name, err)
		}
	}
	return nil
}

// cpu is the time of CPUs that its cgroup has had.
func (c *container) cpu() (time.Duration, error) {
	for _, dir := range isolated.Cgroups(c.cgroup) {
		if data, err := os.ReadFile(filepath.Join(dir, "cpuacct.usage")); err == nil {
			ns, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
			return time.Duration(ns), err
		}
		data, err := os.ReadFile(filepath.Join(dir, "cpu.stat"))
		if err != nil {
			continue
		}
		if used, ok := usage(string(data)); ok {
			return used, nil
		}
	}
	return 0, fmt.Errorf("%s: its cgroup does not tell its CPU time", c.name)
}

// usage is what cpu.stat of cgroup v2 tells. That of v1 has other fields.
func usage(stat string) (time.Duration, bool) {
	for line := range strings.Lines(stat) {
		if value, ok := strings.CutPrefix(line, "usage_usec "); ok {
			us, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			return time.Duration(us) * time.Microsecond, err == nil
		}
	}
	return 0, false
}
