package testenv

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// limit for one thing to happen. It is generous because CI has two slow CPUs.
var limit = Slow(time.Minute)

// Spec says what to run.
type Spec struct {
	ID      string // unique in the daemon
	Image   Image  // imported already
	Args    []string
	Runtime string // ours when empty
	Stdin   io.Reader
	TTY     bool
	Opts    []oci.SpecOpts
	// RuntimeOptions is passed to the shim if it is not nil.
	RuntimeOptions any
}

// Task is a container with its task, seen by containerd's client.
type Task struct {
	client.Task
	Container client.Container
	Stdout    *Buffer
	Stderr    *Buffer

	ctx  context.Context
	exit <-chan client.ExitStatus
}

// Buffer collects output and can be read while it grows.
type Buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// WaitFor waits until the output contains text.
func (b *Buffer) WaitFor(t testing.TB, text string) {
	t.Helper()
	Eventually(t, fmt.Sprintf("output %q", text), func() error {
		if s := b.String(); !strings.Contains(s, text) {
			return fmt.Errorf("output so far: %q", s)
		}
		return nil
	})
}

// CompileLimit is for what has to wait for a compiler, which runs at a low
// priority on machines that may be busy.
var CompileLimit = Slow(3 * time.Minute)

// Eventually waits until check succeeds; otherwise the test fails.
func Eventually(t testing.TB, what string, check func() error) {
	t.Helper()
	EventuallyWithin(t, limit, what, check)
}

// EventuallyWithin is Eventually with a limit of its own.
func EventuallyWithin(t testing.TB, limit time.Duration, what string, check func() error) {
	t.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("no %s within %s: %v", what, limit, err)
		}
	}
}

// NewContainer makes a container, without a task.
func (c *Containerd) NewContainer(t testing.TB, cl *client.Client, ctx context.Context, s Spec) (client.Container, error) {
	t.Helper()
	stored, err := cl.ImageService().Get(ctx, s.Image.Name)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", s.Image.Name, err)
	}
	platform, err := platforms.Parse(s.Image.OSArch())
	if err != nil {
		return nil, err
	}
	img := client.NewImageWithPlatform(cl, stored, platforms.OnlyStrict(platform))
	opts := []oci.SpecOpts{
		oci.WithDefaultSpecForPlatform("linux/" + goarch()),
		oci.WithImageConfigArgs(img, nil),
		oci.WithCgroup("/" + c.Namespace + "/" + s.ID),
	}
	if s.Args != nil {
		opts = append(opts, oci.WithProcessArgs(s.Args...))
	}
	if s.TTY {
		opts = append(opts, oci.WithTTY)
	}
	rt := s.Runtime
	if rt == "" {
		rt = Runtime
	}
	return cl.NewContainer(ctx, s.ID,
		client.WithImage(img),
		client.WithNewSnapshot(s.ID, img),
		client.WithRuntime(rt, s.RuntimeOptions),
		client.WithNewSpec(append(opts, s.Opts...)...))
}

// Create makes container and task. The test removes both when it ends, unless
// it has done so itself. The error is that of the task.
func (c *Containerd) Create(t testing.TB, s Spec) (*Task, error) {
	t.Helper()
	cl, ctx := c.Client(t)
	container, err := c.NewContainer(t, cl, ctx, s)
	if err != nil {
		t.Fatalf("create container %s: %v", s.ID, err)
	}
	t.Cleanup(func() { c.remove(t, s.ID) })

	k := &Task{Container: container, Stdout: &Buffer{}, Stderr: &Buffer{}, ctx: ctx}
	streams := []cio.Opt{cio.WithStreams(s.Stdin, k.Stdout, k.Stderr), cio.WithFIFODir(c.file("fifo"))}
	if s.TTY {
		streams = append(streams, cio.WithTerminal)
	}
	k.Task, err = container.NewTask(ctx, cio.NewCreator(streams...))
	if err != nil {
		return nil, err
	}
	k.exit, err = k.Wait(ctx)
	if err != nil {
		t.Fatalf("wait for %s: %v", s.ID, err)
	}
	return k, nil
}

// Run creates and starts a task; an error fails the test.
func (c *Containerd) Run(t testing.TB, s Spec) *Task {
	t.Helper()
	k, err := c.Create(t, s)
	if err != nil {
		t.Fatalf("create task %s: %v", s.ID, err)
	}
	if err := k.Start(k.ctx); err != nil {
		t.Fatalf("start task %s: %v", s.ID, err)
	}
	return k
}

// remove removes what is left of a container at the end of a test.
func (c *Containerd) remove(t testing.TB, id string) {
	cl, ctx := c.Client(t) // a new one: containerd may have been restarted
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	container, err := cl.LoadContainer(ctx, id)
	if errdefs.IsNotFound(err) {
		return
	}
	if err != nil {
		t.Errorf("load container %s: %v", id, err)
		return
	}
	if task, err := container.Task(ctx, nil); err == nil {
		if _, err := task.Delete(ctx, client.WithProcessKill); err != nil && !errdefs.IsNotFound(err) {
			t.Errorf("delete task %s: %v", container.ID(), err)
		}
	} else if !errdefs.IsNotFound(err) {
		t.Errorf("load task %s: %v", container.ID(), err)
	}
	if err := container.Delete(ctx, client.WithSnapshotCleanup); err != nil && !errdefs.IsNotFound(err) {
		t.Errorf("delete container %s: %v", container.ID(), err)
	}
}

// Context carries the daemon's namespace.
func (k *Task) Context() context.Context { return k.ctx }

// ExitStatus waits for the end of the task.
func (k *Task) ExitStatus(t testing.TB) uint32 {
	t.Helper()
	return await(t, k.ID(), k.exit)
}

// Rewait is needed after a restart of containerd, which ends every Wait.
func (k *Task) Rewait(t testing.TB) {
	t.Helper()
	var err error
	if k.exit, err = k.Wait(k.ctx); err != nil {
		t.Fatalf("wait for %s: %v", k.ID(), err)
	}
}

// Finish waits for the end, deletes the task and returns its exit status.
func (k *Task) Finish(t testing.TB) uint32 {
	t.Helper()
	status := k.ExitStatus(t)
	if _, err := k.Delete(k.ctx); err != nil {
		t.Errorf("delete task %s: %v", k.ID(), err)
	}
	return status
}

// Signal sends a signal to the task.
func (k *Task) Signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if err := k.Kill(k.ctx, sig); err != nil {
		t.Fatalf("send %s to %s: %v", sig, k.ID(), err)
	}
}

// RequireStatus asserts what State says.
func (k *Task) RequireStatus(t testing.TB, want client.ProcessStatus) {
	t.Helper()
	got, err := k.Status(k.ctx)
	if err != nil {
		t.Fatalf("state of %s: %v", k.ID(), err)
	}
	if got.Status != want {
		t.Fatalf("state of %s is %s, want %s", k.ID(), got.Status, want)
	}
}

// ExecResult is what an exec left.
type ExecResult struct {
	Status         uint32
	Stdout, Stderr string
}

// TryExec runs a process in the task's container until it ends. The error is
// that of exec's start; the process is deleted in either case.
func (k *Task) TryExec(t testing.TB, id string, args ...string) (ExecResult, error) {
	t.Helper()
	spec, err := k.Container.Spec(k.ctx)
	if err != nil {
		t.Fatal(err)
	}
	process := *spec.Process
	process.Args = args
	process.Terminal = false
	return k.exec(t, id, &process)
}

func (k *Task) exec(t testing.TB, id string, spec *specs.Process) (ExecResult, error) {
	t.Helper()
	var stdout, stderr Buffer
	p, err := k.Task.Exec(k.ctx, id, spec, cio.NewCreator(cio.WithStreams(nil, &stdout, &stderr)))
	if err != nil {
		return ExecResult{}, fmt.Errorf("exec: %w", err)
	}
	defer func() {
		if _, err := p.Delete(k.ctx, client.WithProcessKill); err != nil && !errdefs.IsNotFound(err) {
			t.Errorf("delete exec %s: %v", id, err)
		}
	}()
	exit, err := p.Wait(k.ctx)
	if err != nil {
		return ExecResult{}, fmt.Errorf("wait: %w", err)
	}
	if err := p.Start(k.ctx); err != nil {
		return ExecResult{}, fmt.Errorf("start: %w", err)
	}
	status := await(t, id, exit)
	p.IO().Wait()
	return ExecResult{status, stdout.String(), stderr.String()}, nil
}

// Exec is TryExec for what has to work.
func (k *Task) Exec(t testing.TB, id string, args ...string) ExecResult {
	t.Helper()
	r, err := k.TryExec(t, id, args...)
	if err != nil {
		t.Fatalf("exec %s in %s: %v", id, k.ID(), err)
	}
	return r
}

func await(t testing.TB, id string, exit <-chan client.ExitStatus) uint32 {
	t.Helper()
	select {
	case s := <-exit:
		if s.Error() != nil {
			t.Fatalf("wait for %s: %v", id, s.Error())
		}
		return s.ExitCode()
	case <-time.After(limit):
		t.Fatalf("%s did not end within %s", id, limit)
		return 0
	}
}

// CreateAny is Create for tests in which it may fail in any way, at any moment.
// What it leaves is removed when the test ends.
func (c *Containerd) CreateAny(t testing.TB, s Spec) {
	t.Helper()
	cl, ctx := c.Client(t)
	container, err := c.NewContainer(t, cl, ctx, s)
	if err != nil {
		return
	}
	t.Cleanup(func() { c.remove(t, s.ID) })
	_, _ = container.NewTask(ctx, cio.NullIO)
}
