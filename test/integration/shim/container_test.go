package shim

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/api/types/runtimeoptions/v1"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/ttrpc"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// stdio are the streams of a process as containerd names them.
type stdio struct {
	stdin, stdout, stderr string
	terminal              bool
}

// container is one container of a daemon. The fields may be changed before
// connect.
type container struct {
	*daemon
	t      testing.TB
	id     string
	bundle string
	spec   *specs.Spec
	stdio
	rootfs  []*types.Mount
	options *anypb.Any

	client  *ttrpc.Client
	log     *testenv.Buffer
	removed []func() // called when it is removed
}

// container makes a bundle. The container is removed when the test ends.
func (d *daemon) container(id string, args ...string) *container {
	return d.containerFor(d.t, id, args...)
}

// containerFor is container for a part of a test.
func (d *daemon) containerFor(t testing.TB, id string, args ...string) *container {
	t.Helper()
	c := &container{daemon: d, t: t, id: id, bundle: filepath.Join(d.dir, "b", id), spec: newSpec(args)}
	c.spec.Linux.CgroupsPath = "/" + d.ns + "/" + id
	c.rootfs = []*types.Mount{{Type: "bind", Source: d.installation.rootfs, Options: []string{"rbind", "rw"}}}
	must(t, os.MkdirAll(filepath.Join(c.bundle, "rootfs"), 0o711))
	c.log = readLog(t, c.bundle)
	t.Cleanup(c.remove)
	return c
}

// newSpec is what containerd's client makes of an image, in short.
func newSpec(args []string) *specs.Spec {
	mount := func(kind, target string, options ...string) specs.Mount {
		return specs.Mount{Type: kind, Source: kind, Destination: target, Options: options}
	}
	namespaces := []specs.LinuxNamespace{
		{Type: specs.PIDNamespace}, {Type: specs.MountNamespace}, {Type: specs.IPCNamespace},
		{Type: specs.UTSNamespace}, {Type: specs.NetworkNamespace},
	}
	return &specs.Spec{
		Version: specs.Version,
		Root:    &specs.Root{Path: "rootfs"},
		Process: newProcess(args),
		Mounts: []specs.Mount{
			mount("proc", "/proc", "nosuid", "noexec", "nodev"),
			mount("tmpfs", "/dev", "nosuid", "strictatime", "mode=755", "size=65536k"),
			mount("devpts", "/dev/pts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"),
			mount("tmpfs", "/tmp", "nosuid", "nodev"),
		},
		Linux: &specs.Linux{Namespaces: namespaces, Resources: &specs.LinuxResources{}},
	}
}

func newProcess(args []string) *specs.Process {
	caps := []string{"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_KILL", "CAP_SETGID", "CAP_SETUID"}
	return &specs.Process{
		Args: args, Cwd: "/", Env: []string{"PATH=/"}, NoNewPrivileges: true,
		Capabilities: &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps},
	}
}

// joins makes the container part of a pod, whose containers share a shim.
func (c *container) joins(pod string) *container {
	c.spec.Annotations = map[string]string{"io.kubernetes.cri.sandbox-id": pod}
	return c
}

// writeSpec writes config.json.
func (c *container) writeSpec() {
	c.t.Helper()
	c.spec.Process.Terminal = c.terminal
	data, err := json.Marshal(c.spec)
	must(c.t, err)
	must(c.t, os.WriteFile(filepath.Join(c.bundle, "config.json"), data, 0o600))
}

// connect starts or finds the container's shim.
func (c *container) connect() *container {
	c.t.Helper()
	c.writeSpec()
	socket, err := c.daemon.start(c)
	must(c.t, err)
	must(c.t, c.dial(socket))
	return c
}

func (c *container) dial(socket string) error {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	c.client = ttrpc.NewClient(conn)
	return nil
}

// created is connect and a Create that must succeed; run starts it too.
func (c *container) created() *container {
	c.t.Helper()
	if c.client == nil {
		c.connect()
	}
	_, err := c.create()
	must(c.t, err)
	return c
}

func (c *container) run() *container {
	c.t.Helper()
	c.created()
	must(c.t, c.start(""))
	return c
}

// ended is a run until the end.
func (c *container) ended() *container {
	c.t.Helper()
	c.run()
	c.exitStatus("")
	return c
}

// remove does what containerd does to remove a container, in whatever state.
func (c *container) remove() {
	if c.t.Failed() {
		lines := strings.Split(strings.TrimSpace(c.log.String()), "\n")
		c.t.Logf("log of the shim for %s:\n%s", c.id, strings.Join(lines[max(0, len(lines)-10):], "\n"))
	}
	if c.client != nil {
		_ = c.kill("", syscall.SIGKILL)
		_, _ = c.wait("")
		_, _ = c.delete("")
		_ = c.shutdown()
		c.client.Close()
	}
	if _, err := c.cleanUp(c); err != nil {
		c.t.Error(err)
	}
	for _, f := range c.removed {
		f()
	}
	if err := os.RemoveAll(c.bundle); err != nil {
		c.t.Error(err)
	}
}

// call calls a method of the daemon's version of the Task service.
func (c *container) call(method string, req, resp any) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return c.callContext(ctx, method, req, resp)
}

func (c *container) callContext(ctx context.Context, method string, req, resp any) error {
	err := c.client.Call(ctx, string(c.version), method, req, resp)
	if errors.Is(err, ttrpc.ErrClosed) {
		return err
	}
	return errgrpc.ToNative(err)
}

func (c *container) create() (*taskapi.CreateTaskResponse, error) {
	var resp taskapi.CreateTaskResponse
	return &resp, c.call("Create", &taskapi.CreateTaskRequest{
		ID: c.id, Bundle: c.bundle, Rootfs: c.rootfs,
		Stdin: c.stdin, Stdout: c.stdout, Stderr: c.stderr, Terminal: c.terminal,
		Options: c.options,
	}, &resp)
}

// withOptions sends runtime options, in TOML.
func (c *container) withOptions(toml string) *container {
	c.t.Helper()
	value, err := proto.Marshal(&runtimeoptions.Options{ConfigBody: []byte(toml)})
	must(c.t, err)
	c.options = &anypb.Any{TypeUrl: "runtimeoptions.v1.Options", Value: value}
	return c
}

func (c *container) start(execID string) error {
	return c.call("Start", &taskapi.StartRequest{ID: c.id, ExecID: execID}, &taskapi.StartResponse{})
}

func (c *container) state(execID string) (*taskapi.StateResponse, error) {
	var resp taskapi.StateResponse
	return &resp, c.call("State", &taskapi.StateRequest{ID: c.id, ExecID: execID}, &resp)
}

func (c *container) wait(execID string) (*taskapi.WaitResponse, error) {
	var resp taskapi.WaitResponse
	return &resp, c.call("Wait", &taskapi.WaitRequest{ID: c.id, ExecID: execID}, &resp)
}

func (c *container) delete(execID string) (*taskapi.DeleteResponse, error) {
	var resp taskapi.DeleteResponse
	return &resp, c.call("Delete", &taskapi.DeleteRequest{ID: c.id, ExecID: execID}, &resp)
}

func (c *container) kill(execID string, sig syscall.Signal) error {
	return c.call("Kill", &taskapi.KillRequest{ID: c.id, ExecID: execID, Signal: uint32(sig)}, &emptypb.Empty{})
}

func (c *container) pause() error {
	return c.call("Pause", &taskapi.PauseRequest{ID: c.id}, &emptypb.Empty{})
}

func (c *container) resume() error {
	return c.call("Resume", &taskapi.ResumeRequest{ID: c.id}, &emptypb.Empty{})
}

func (c *container) pids() ([]*tasktypes.ProcessInfo, error) {
	var resp taskapi.PidsResponse
	err := c.call("Pids", &taskapi.PidsRequest{ID: c.id}, &resp)
	return resp.Processes, err
}

func (c *container) stats() (*anypb.Any, error) {
	var resp taskapi.StatsResponse
	err := c.call("Stats", &taskapi.StatsRequest{ID: c.id}, &resp)
	return resp.Stats, err
}

func (c *container) update(r *specs.LinuxResources) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return c.call("Update", &taskapi.UpdateTaskRequest{ID: c.id, Resources: &anypb.Any{Value: data}}, &emptypb.Empty{})
}

func (c *container) resize(execID string, width, height uint32) error {
	return c.call("ResizePty", &taskapi.ResizePtyRequest{ID: c.id, ExecID: execID, Width: width, Height: height}, &emptypb.Empty{})
}

func (c *container) closeStdin(execID string) error {
	return c.call("CloseIO", &taskapi.CloseIORequest{ID: c.id, ExecID: execID, Stdin: true}, &emptypb.Empty{})
}

func (c *container) checkpoint() error {
	return c.call("Checkpoint", &taskapi.CheckpointTaskRequest{ID: c.id, Path: c.dir}, &emptypb.Empty{})
}

func (c *container) shutdown() error {
	err := c.call("Shutdown", &taskapi.ShutdownRequest{ID: c.id}, &emptypb.Empty{})
	if errors.Is(err, ttrpc.ErrClosed) {
		return nil
	}
	return err
}

func (c *container) connection() (*taskapi.ConnectResponse, error) {
	var resp taskapi.ConnectResponse
	return &resp, c.call("Connect", &taskapi.ConnectRequest{ID: c.id}, &resp)
}

// shimPid of the container's shim.
func (c *container) shimPid() int {
	c.t.Helper()
	r, err := c.connection()
	must(c.t, err)
	return int(r.ShimPid)
}

// exec registers an exec.
func (c *container) exec(execID string, io stdio, args ...string) error {
	p := newProcess(args)
	p.Terminal = io.terminal
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return c.call("Exec", &taskapi.ExecProcessRequest{
		ID: c.id, ExecID: execID, Stdin: io.stdin, Stdout: io.stdout, Stderr: io.stderr, Terminal: io.terminal,
		Spec: &anypb.Any{TypeUrl: "types.containerd.io/opencontainers/runtime-spec/1/Process", Value: data},
	}, &emptypb.Empty{})
}

// execRun registers and starts an exec.
func (c *container) execRun(execID string, io stdio, args ...string) {
	c.t.Helper()
	must(c.t, c.exec(execID, io, args...))
	must(c.t, c.start(execID))
}

// exitStatus waits for the end of a process.
func (c *container) exitStatus(execID string) uint32 {
	c.t.Helper()
	r, err := c.wait(execID)
	must(c.t, err)
	return r.ExitStatus
}

// requireStatus asserts what State says.
func (c *container) requireStatus(execID string, want tasktypes.Status) {
	c.t.Helper()
	r, err := c.state(execID)
	must(c.t, err)
	if r.Status != want {
		c.t.Errorf("state is %s, want %s", r.Status, want)
	}
}

// requireKind asserts an error's kind; ok is none.
func requireKind(t testing.TB, what string, err error, want errorKind) {
	t.Helper()
	if got := kindOf(err); got != want {
		t.Errorf("%s: %s (%v), want %s", what, got, err, want)
	}
}

// errorKind is how containerd sees an error.
type errorKind string

const (
	ok                 errorKind = "ok"
	notFound           errorKind = "NotFound"
	alreadyExists      errorKind = "AlreadyExists"
	failedPrecondition errorKind = "FailedPrecondition"
	invalidArgument    errorKind = "InvalidArgument"
	notImplemented     errorKind = "NotImplemented"
	other              errorKind = "another error"
)

func kindOf(err error) errorKind {
	switch {
	case err == nil:
		return ok
	case errdefs.IsNotFound(err):
		return notFound
	case errdefs.IsAlreadyExists(err):
		return alreadyExists
	case errdefs.IsFailedPrecondition(err):
		return failedPrecondition
	case errdefs.IsInvalidArgument(err):
		return invalidArgument
	case errdefs.IsNotImplemented(err):
		return notImplemented
	}
	return other
}

// fifos gives the container (or an exec) output FIFOs that are read until their
// end, and returns what arrives.
func (c *container) fifos(name string) (stdio, *output) {
	c.t.Helper()
	io := stdio{stdout: filepath.Join(c.bundle, name+"-out"), stderr: filepath.Join(c.bundle, name+"-err")}
	return io, &output{stdout: c.readFIFO(io.stdout), stderr: c.readFIFO(io.stderr)}
}

// stdinFIFO makes a FIFO for stdin and returns its path.
func (c *container) stdinFIFO(name string) string {
	c.t.Helper()
	path := filepath.Join(c.bundle, name+"-in")
	must(c.t, syscall.Mkfifo(path, 0o600))
	return path
}

// withOutput gives the container's init FIFOs.
func (c *container) withOutput() *output {
	c.t.Helper()
	io, out := c.fifos("init")
	c.stdout, c.stderr = io.stdout, io.stderr
	return out
}

// output is what a process writes.
type output struct{ stdout, stderr *stream }

// stream is what comes out of a FIFO.
type stream struct {
	testenv.Buffer
	ended chan struct{} // closed when all writers are gone
}

// all waits for the end of the stream.
func (s *stream) all(t testing.TB) string {
	t.Helper()
	within(t, "end of output", s.ended)
	return s.String()
}

// readFIFO makes a FIFO and reads it, as containerd's client does. It must have
// an end when the container is removed.
func (c *container) readFIFO(path string) *stream {
	t := c.t
	t.Helper()
	must(t, syscall.Mkfifo(path, 0o600))
	s := &stream{ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		f, err := os.Open(path) // waits for a writer
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		if _, err := f.WriteTo(&s.Buffer); err != nil {
			t.Error(err)
		}
	}()
	c.removed = append(c.removed, func() {
		if f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
			f.Close() // nobody else may have come
		}
		select {
		case <-s.ended:
		case <-time.After(limit):
			t.Errorf("somebody still holds %s", path)
		}
	})
	return s
}

func (c *container) killAll(sig syscall.Signal) error {
	return c.call("Kill", &taskapi.KillRequest{ID: c.id, Signal: uint32(sig), All: true}, &emptypb.Empty{})
}
