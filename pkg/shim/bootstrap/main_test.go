package bootstrap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/ttrpc"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/bundle"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/quick"
)

// roleEnv makes the test binary the shim: with an action on its command line the
// helper, without one the daemon.
const roleEnv = "BOOTSTRAP_TEST_SHIM"

func TestMain(m *testing.M) {
	if os.Getenv(roleEnv) == "" {
		os.Exit(m.Run())
	}
	wd, _ := os.Getwd()
	p := Process{
		Args: os.Args[1:], Environ: os.Environ(), Dir: wd,
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	}
	flags, code := Main(p, Config{Cleanup: noCleanup})
	if flags == nil {
		os.Exit(code)
	}
	if err := serve(flags); err != nil {
		_ = os.WriteFile("error", []byte(err.Error()), 0o600)
		os.Exit(1)
	}
}

func noCleanup(context.Context, bundle.Dir, string) error { return nil }

// service is a shim that knows how many containers it has, and nothing else.
type service struct {
	taskapi.TTRPCTaskService
	flags    *Flags
	listener net.Listener
	gone     context.CancelFunc

	mu         sync.Mutex
	containers map[string]bool
}

func serve(f *Flags) error {
	l, err := f.Listener()
	if err != nil {
		return err
	}
	server, err := ttrpc.NewServer(ttrpc.WithServerHandshaker(ttrpc.UnixSocketRequireSameUser()))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	taskapi.RegisterTTRPCTaskService(server, &service{flags: f, listener: l, gone: cancel, containers: map[string]bool{}})
	go server.Serve(ctx, l)
	select {
	case <-ctx.Done():
	case <-time.After(time.Minute): // a failed test leaves no daemon for long
	}
	end, stop := context.WithTimeout(context.Background(), time.Second)
	defer stop()
	return server.Shutdown(end)
}

func (s *service) Connect(context.Context, *taskapi.ConnectRequest) (*taskapi.ConnectResponse, error) {
	return &taskapi.ConnectResponse{ShimPid: uint32(os.Getpid())}, nil
}

func (s *service) Create(_ context.Context, r *taskapi.CreateTaskRequest) (*taskapi.CreateTaskResponse, error) {
	s.mu.Lock()
	s.containers[r.GetID()] = true
	s.mu.Unlock()
	s.flags.Created(r.GetID())
	return &taskapi.CreateTaskResponse{Pid: uint32(os.Getpid())}, nil
}

func (s *service) Delete(_ context.Context, r *taskapi.DeleteRequest) (*taskapi.DeleteResponse, error) {
	s.mu.Lock()
	delete(s.containers, r.GetID())
	s.mu.Unlock()
	return &taskapi.DeleteResponse{}, nil
}

func (s *service) Shutdown(ctx context.Context, _ *taskapi.ShutdownRequest) (*emptypb.Empty, error) {
	retired, err := s.flags.Retire(ctx, s.listener, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.containers) == 0
	})
	if retired {
		s.gone()
	}
	return &emptypb.Empty{}, err
}

// container is one container as containerd sees it.
type container struct {
	t         *testing.T
	ns, id    string
	dir       bundle.Dir
	socketDir string
	env       []string
	stdin     []byte
	args      []string
	config    Config
}

// newContainer makes a bundle, and a socket directory unless one is given.
func newContainer(t *testing.T, id, socketDir string) *container {
	t.Helper()
	if socketDir == "" {
		var err error
		// t.TempDir is too long for a socket.
		if socketDir, err = os.MkdirTemp("", "s"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			killDaemons(t, socketDir)
			_ = os.RemoveAll(socketDir)
		})
	}
	return &container{
		t: t, ns: "test", id: id, dir: bundle.Dir(t.TempDir()), socketDir: socketDir,
		config: Config{Executable: os.Args[0], Cleanup: noCleanup},
	}
}

func (c *container) annotate(name, value string) {
	c.t.Helper()
	if err := os.WriteFile(c.dir.Path("config.json"), fmt.Appendf(nil, `{"annotations":{%q:%q}}`, name, value), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

func (c *container) flags(action string) []string {
	args := []string{"-namespace", c.ns, "-address", "/run/containerd/containerd.sock", "-publish-binary", "/usr/bin/containerd", "-id", c.id}
	return append(append(args, c.args...), action)
}

func (c *container) environ() []string {
	// The race detector makes every process sleep a second at its end.
	return append([]string{roleEnv + "=1", "GORACE=atexit_sleep_ms=0", "TTRPC_ADDRESS=/run/containerd/containerd.sock.ttrpc", "SHIM_SOCKET_DIR=" + c.socketDir}, c.env...)
}

// run calls Main in this process.
func (c *container) run(action string) (stdout, stderr string, code int) {
	var out, errOut bytes.Buffer
	_, code = Main(Process{
		Args: c.flags(action), Environ: c.environ(), Dir: string(c.dir),
		Stdin: bytes.NewReader(c.stdin), Stdout: &out, Stderr: &errOut,
	}, c.config)
	return out.String(), errOut.String(), code
}

// exec runs the action as containerd does, in a process of its own.
func (c *container) exec(action string) (string, error) {
	cmd := exec.Command(os.Args[0], c.flags(action)...)
	cmd.Env = append(os.Environ(), c.environ()...)
	cmd.Dir = string(c.dir)
	cmd.Stdin = bytes.NewReader(c.stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// start starts or joins a shim and returns its socket.
func (c *container) start() string {
	c.t.Helper()
	stdout, stderr, code := c.run(actionStart)
	if code != 0 || stderr != "" {
		c.t.Fatalf("start: exit %d, stderr %q", code, stderr)
	}
	path, ok := strings.CutPrefix(stdout, quick.Scheme)
	if !ok {
		c.t.Fatalf("start answered %q", stdout)
	}
	return path
}

func dial(socket string) (taskapi.TTRPCTaskService, func(), error) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil, nil, err
	}
	client := ttrpc.NewClient(conn)
	return taskapi.NewTTRPCTaskClient(client), func() { _ = client.Close() }, nil
}

// shimPid asks who serves a socket.
func shimPid(t *testing.T, socket string) int {
	t.Helper()
	tc, done, err := dial(socket)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	r, err := tc.Connect(ctx, &taskapi.ConnectRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return int(r.GetShimPid())
}

// daemons lists the shims whose socket is below dir.
func daemons(t *testing.T, dir string) []int {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		cmdline, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		stat, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if bytes.Contains(cmdline, []byte("\x00-socket\x00"+dir+"/")) && !bytes.Contains(stat, []byte(") Z ")) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func killDaemons(t *testing.T, dir string) {
	for _, pid := range daemons(t, dir) {
		_ = unix.Kill(pid, unix.SIGKILL)
		waitGone(t, pid)
	}
}

// waitGone waits for the end of a process, which may be our child.
func waitGone(t *testing.T, pid int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		_, err := unix.Wait4(pid, nil, unix.WNOHANG, nil)
		if kerr := unix.Kill(pid, 0); errors.Is(kerr, unix.ESRCH) {
			return
		}
		if err != nil && !errors.Is(err, unix.ECHILD) {
			t.Fatal(err)
		}
		if time.Now().After(deadline) {
			t.Fatalf("process %d lives on", pid)
		}
	}
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var s []string
	for _, e := range entries {
		s = append(s, e.Name())
	}
	return strings.Join(s, " ")
}
