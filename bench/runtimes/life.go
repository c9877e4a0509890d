package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/api/types/runtimeoptions/v1"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/image"
)

// patience is the longest time that anything here may take; CPython compiles for
// a while on a slow machine.
const patience = 3 * time.Minute

// lateOutput is how long output may take after the end of its program.
const lateOutput = 5 * time.Second

// times of one container's life.
type times struct {
	create time.Duration // Create alone
	start  time.Duration // Start alone
	output time.Duration // from Create's begin to the first byte
	exit   time.Duration // from Create's begin until the client knows the end
	delete time.Duration // Delete alone
}

// job is one container to run.
type job struct {
	id      string
	variant Variant
	program Program
	cache   string // where our shim keeps code
}

// container is a container with its task.
type container struct {
	client.Container
	task  client.Task
	out   *watched
	stdin *io.PipeWriter // nothing comes; some programs idle by waiting for it
}

// watched is an output that knows when it began.
type watched struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	first time.Time
	began chan struct{}
}

// Write implements io.Writer.
func (w *watched) Write(p []byte) (int, error) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.first.IsZero() {
		w.first = now
		close(w.began)
	}
	return w.buf.Write(p)
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.String()
}

// prepare makes a container and its snapshot, which no runtime has a part in.
// The spec is that of `ctr run`.
func (b *bench) prepare(ctx context.Context, j job, args []string) (client.Container, error) {
	img, err := b.get(ctx, j.program.image(j.variant))
	if err != nil {
		return nil, err
	}
	var options any
	if toml := j.variant.options(j.cache); toml != "" {
		options = &runtimeoptions.Options{ConfigBody: []byte(toml)}
	}
	return b.NewContainer(ctx, j.id,
		client.WithImage(img),
		client.WithNewSnapshot(j.id, img),
		client.WithRuntime(j.variant.Runtime, options),
		client.WithNewSpec(
			oci.WithDefaultSpecForPlatform("linux/"+runtime.GOARCH),
			oci.WithImageConfigArgs(img, args),
			oci.WithCgroup("/"+b.Namespace()+"/"+j.id)))
}

func (b *bench) get(ctx context.Context, img image.Image) (client.Image, error) {
	stored, err := b.ImageService().Get(ctx, img.Name)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", img.Name, err)
	}
	return client.NewImage(b.Client, stored), nil
}

// live runs a container from beginning to end.
func (b *bench) live(ctx context.Context, j job) (t times, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s, %s: %w", j.variant.Name, j.program.Name, err)
		}
	}()
	c, err := b.prepare(ctx, j, j.program.Once)
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, c.Delete(ctx, client.WithSnapshotCleanup)) }()

	stdout, stderr := &watched{began: make(chan struct{})}, &watched{began: make(chan struct{})}
	begin := time.Now()
	task, err := c.NewTask(ctx, cio.NewCreator(cio.WithStreams(nil, stdout, stderr)))
	if err != nil {
		return t, fmt.Errorf("create: %w", err)
	}
	t.create = time.Since(begin)
	var deleted bool
	defer func() {
		if !deleted {
			_, e := task.Delete(ctx, client.WithProcessKill)
			err = errors.Join(err, e)
		}
	}()
	exit, err := task.Wait(ctx)
	if err != nil {
		return t, err
	}
	beforeStart := time.Now()
	if err := task.Start(ctx); err != nil {
		return t, fmt.Errorf("start: %w: %s", err, stderr)
	}
	t.start = time.Since(beforeStart)
	var status client.ExitStatus
	select {
	case status = <-exit:
	case <-ctx.Done():
		return t, fmt.Errorf("it does not end: %w", ctx.Err())
	}
	t.exit = time.Since(begin)
	// Delete gives up streams that the client has not opened yet, and a shim that
	// does nothing is done before it has.
	select {
	case <-stdout.began:
	case <-time.After(lateOutput):
	}
	beforeDelete := time.Now()
	deleted = true
	if _, err := task.Delete(ctx); err != nil {
		return t, fmt.Errorf("delete: %w", err)
	}
	t.delete = time.Since(beforeDelete)
	if err := status.Error(); err != nil {
		return t, fmt.Errorf("wait: %w", err)
	}
	if status.ExitCode() != 0 || strings.TrimSpace(stdout.String()) != "hello" {
		return t, fmt.Errorf("it ended with status %d, and said %q, %q", status.ExitCode(), stdout, stderr)
	}
	t.output = stdout.first.Sub(begin)
	return t, nil
}

// idle starts a container that does nothing, and waits until it says so.
func (b *bench) idle(ctx context.Context, j job) (_ *container, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	stdin, writer := io.Pipe()
	c := &container{out: &watched{began: make(chan struct{})}, stdin: writer}
	if c.Container, err = b.prepare(ctx, j, j.program.Idle); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("%s, %s: %w", j.variant.Name, j.program.Name, err), c.remove(ctx))
		}
	}()
	if c.task, err = c.NewTask(ctx, cio.NewCreator(cio.WithStreams(stdin, c.out, c.out))); err != nil {
		return nil, fmt.Errorf("create: %w", err)
	}
	if err := c.task.Start(ctx); err != nil {
		return nil, fmt.Errorf("start: %w: %s", err, c.out)
	}
	select {
	case <-c.out.began:
	case <-ctx.Done():
		return nil, fmt.Errorf("no output: %w", ctx.Err())
	}
	if said := strings.TrimSpace(c.out.String()); said != "idle" {
		return nil, fmt.Errorf("it said %q", said)
	}
	return c, nil
}

// requireRunning is for a container that is to be idle, not gone.
func (c *container) requireRunning(ctx context.Context) error {
	status, err := c.task.Status(ctx)
	if err == nil && status.Status != client.Running {
		err = fmt.Errorf("it is %s instead of idle: %s", status.Status, c.out)
	}
	return err
}

// remove ends and removes a container.
func (c *container) remove(ctx context.Context) error {
	var err error
	c.stdin.Close()
	if c.task != nil {
		_, err = c.task.Delete(ctx, client.WithProcessKill)
	}
	return errors.Join(err, c.Delete(ctx, client.WithSnapshotCleanup))
}
