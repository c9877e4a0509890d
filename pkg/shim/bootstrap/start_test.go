package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	bootapi "github.com/containerd/containerd/api/runtime/bootstrap/v1"
	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/containerd/api/types"
	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/ttrpc"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/quick"
)

func marshal(t *testing.T, m proto.Message) []byte {
	t.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func runcAny(t *testing.T, o *runcoptions.Options) *anypb.Any {
	return &anypb.Any{TypeUrl: "containerd.runc.v1.Options", Value: marshal(t, o)}
}

func TestEveryContainerdGetsTheAnswerItUnderstands(t *testing.T) {
	t.Parallel()
	any := runcAny(t, &runcoptions.Options{BinaryName: "runc"})
	params := func(id, ns string, socketDir *string) *bootapi.BootstrapParams {
		bp := &bootapi.BootstrapParams{
			InstanceID: id, Namespace: ns, ContainerdVersion: "v2.4.2",
			ContainerdGrpcAddress:  "/run/containerd/containerd.sock",
			ContainerdTtrpcAddress: "/run/containerd/containerd.sock.ttrpc",
			SocketDir:              socketDir,
		}
		if err := bp.AddExtension(any); err != nil {
			t.Fatal(err)
		}
		return bp
	}
	old := []string{"GOMAXPROCS=2", "MAX_SHIM_VERSION=2", "GRPC_ADDRESS=/run/containerd/containerd.sock", "NAMESPACE=test"}
	for name, tc := range map[string]struct {
		env    []string
		stdin  []byte
		modern bool
	}{
		"1.6":                            {[]string{"GOMAXPROCS=2"}, nil, false},
		"1.6 with options":               {[]string{"GOMAXPROCS=2"}, marshal(t, any), false},
		"1.7 and 2.0 to 2.2":             {old, nil, false},
		"1.7 and 2.0 to 2.2, options":    {old, marshal(t, any), false},
		"2.3":                            {old, marshal(t, params("c1", "test", nil)), true},
		"another container's parameters": {old, marshal(t, params("c2", "test", nil)), false},
		"another namespace's parameters": {old, marshal(t, params("c1", "other", nil)), false},
		"an Any that looks like it":      {old, marshal(t, &anypb.Any{TypeUrl: "c1", Value: []byte("other")}), false},
		"garbage":                        {old, []byte("\xff\xff"), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newContainer(t, "c1", "")
			c.env, c.stdin = tc.env, tc.stdin
			out, err := c.exec(actionStart)
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if tc.modern {
				assertModernAnswer(t, c, out, c.socketDir)
			} else {
				assertPlainAnswer(t, c, out)
			}
		})
	}
	t.Run("2.4 with a socket directory", func(t *testing.T) {
		t.Parallel()
		c := newContainer(t, "c1", "")
		dir := filepath.Join(c.socketDir, "new")
		c.stdin = marshal(t, params("c1", "test", &dir))
		out, err := c.exec(actionStart)
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		assertModernAnswer(t, c, out, dir)
	})
}

func assertModernAnswer(t *testing.T, c *container, out, socketDir string) {
	t.Helper()
	var r bootapi.BootstrapResult
	if err := proto.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v: %q", err, out)
	}
	path, ok := strings.CutPrefix(r.GetAddress(), quick.Scheme)
	if r.GetVersion() != 3 || r.GetProtocol() != "ttrpc" || !ok || filepath.Dir(path) != socketDir {
		t.Errorf("got %v", &r)
	}
	if found, err := r.FindExtension(&types.MountCapabilities{}); err != nil || !found {
		t.Errorf("no MountCapabilities: %v", err)
	}
	if _, err := os.Stat(c.dir.Path("address")); err == nil {
		t.Error("wrote the file address, which belongs to old versions")
	}
	shimPid(t, path)
}

func assertPlainAnswer(t *testing.T, c *container, out string) {
	t.Helper()
	var r bootapi.BootstrapResult
	if proto.Unmarshal([]byte(out), &r) == nil {
		t.Error("containerd 2.3 would take the address for a BootstrapResult")
	}
	path, ok := strings.CutPrefix(out, quick.Scheme)
	if !ok || filepath.Dir(path) != c.socketDir {
		t.Fatalf("got %q", out)
	}
	address, err := os.ReadFile(c.dir.Path("address"))
	if err != nil || string(address) != out {
		t.Errorf("file address is %q, %v; answer %q", address, err, out)
	}
	shimPid(t, path)
}

func TestSocketIsPrivate(t *testing.T) {
	t.Parallel()
	c := newContainer(t, "c1", "")
	c.socketDir = filepath.Join(c.socketDir, "s")
	socket := c.start()
	for path, want := range map[string]fs.FileMode{c.socketDir: fs.ModeDir | 0o700, socket: fs.ModeSocket | 0o600} {
		fi, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if fi.Mode() != want {
			t.Errorf("%s has mode %v, want %v", path, fi.Mode(), want)
		}
	}
	if got := names(t, c.socketDir); got != filepath.Base(socket) {
		t.Errorf("socket directory holds %s", got)
	}
}

func TestDaemonIsDetachedFromContainerd(t *testing.T) {
	t.Parallel()
	c := newContainer(t, "c1", "")
	c.env = []string{"NOTIFY_SOCKET=/run/systemd/notify", "GOMAXPROCS=7", "HTTP_PROXY=kept"}
	c.args = []string{"-debug"}
	pid := shimPid(t, c.start())
	proc := fmt.Sprintf("/proc/%d/", pid)
	for fd := range 3 {
		if link, err := os.Readlink(fmt.Sprintf("%sfd/%d", proc, fd)); err != nil || link != "/dev/null" {
			t.Errorf("fd %d is %q, %v", fd, link, err)
		}
	}
	if cwd, err := os.Readlink(proc + "cwd"); err != nil || cwd != string(c.dir) {
		t.Errorf("cwd is %q, %v", cwd, err)
	}
	if sid, err := unix.Getsid(pid); err != nil || sid != pid {
		t.Errorf("session %d of process %d, %v", sid, pid, err)
	}
	environ := readList(t, proc+"environ")
	for _, want := range []string{"TTRPC_ADDRESS=/run/containerd/containerd.sock.ttrpc", "HTTP_PROXY=kept", "GOMAXPROCS=2"} {
		if !slices.Contains(environ, want) {
			t.Errorf("environment lacks %s", want)
		}
	}
	for _, kv := range environ {
		if strings.HasPrefix(kv, "NOTIFY_SOCKET=") {
			t.Errorf("environment has %s", kv)
		}
	}
	if args := readList(t, proc+"cmdline"); !slices.Contains(args, "-debug") || !slices.Contains(args, "c1") {
		t.Errorf("command line is %q", args)
	}
	if s, err := readScore(os.Getppid()); err == nil && s < 1000 {
		if got, err := readScore(pid); err != nil || got != s+1 {
			t.Errorf("OOM score is %d, parent of start has %d, %v", got, s, err)
		}
	}
}

func readList(t *testing.T, path string) []string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(data), "\x00"), "\x00")
}

func readScore(pid int) (score int, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid))
	if err != nil {
		return 0, err
	}
	_, err = fmt.Sscan(string(data), &score)
	return score, err
}

func TestContainersOfAGroupShareAShim(t *testing.T) {
	t.Parallel()
	for _, annotation := range quick.GroupAnnotations {
		t.Run(annotation, func(t *testing.T) {
			t.Parallel()
			sandbox := newContainer(t, "pod", "")
			first := newContainer(t, "c1", sandbox.socketDir)
			first.annotate(annotation, "pod")
			second := newContainer(t, "c2", sandbox.socketDir)
			second.annotate(annotation, "pod")
			alone := newContainer(t, "c3", sandbox.socketDir)
			other := newContainer(t, "pod", sandbox.socketDir)
			other.ns = "other"
			socket := sandbox.start()
			pid := shimPid(t, socket)
			for _, c := range []*container{first, second} {
				if got := c.start(); got != socket || shimPid(t, got) != pid {
					t.Errorf("%s got a shim of its own", c.id)
				}
			}
			for _, c := range []*container{alone, other} {
				if got := c.start(); got == socket || shimPid(t, got) == pid {
					t.Errorf("%s in %s got the group's shim", c.id, c.ns)
				}
			}
		})
	}
}

func TestDamagedSpecIsNamed(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{
		"truncated": `{"annotations":{"a":`,
		"type":      `{"annotations":[]}`,
		"empty":     ``,
		"large":     strings.Repeat(" ", quick.MaxSpec+1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newContainer(t, "c1", "")
			if err := os.WriteFile(c.dir.Path("config.json"), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			assertStartFails(t, c, "config.json")
		})
	}
	t.Run("unknown fields", func(t *testing.T) {
		t.Parallel()
		c := newContainer(t, "c1", "")
		if err := os.WriteFile(c.dir.Path("config.json"), []byte(`{"ociVersion":"9.9","later":[{}],"annotations":{"a":"b"}}`), 0o600); err != nil {
			t.Fatal(err)
		}
		c.start()
	})
}

// assertStartFails also checks that nothing is left: no socket, no daemon.
func assertStartFails(t *testing.T, c *container, want ...string) {
	t.Helper()
	before := names(t, c.socketDir)
	stdout, stderr, code := c.run(actionStart)
	if code == 0 || stdout != "" {
		t.Fatalf("exit %d, answer %q", code, stdout)
	}
	for _, w := range want {
		if !strings.Contains(stderr, w) {
			t.Errorf("%q does not contain %q", stderr, w)
		}
	}
	if strings.Count(stderr, "\n") != 1 {
		t.Errorf("%q is not one line", stderr)
	}
	if after := names(t, c.socketDir); after != before {
		t.Errorf("left %q", after)
	}
	if pids := daemons(t, c.socketDir); len(pids) > 0 {
		t.Errorf("left processes %v", pids)
	}
}

func TestFailedStartLeavesNothing(t *testing.T) {
	t.Parallel()
	t.Run("no executable", func(t *testing.T) {
		t.Parallel()
		c := newContainer(t, "c1", "")
		c.config.Executable = "/nonexistent/shim"
		assertStartFails(t, c, "/nonexistent/shim", "no such file")
	})
	t.Run("no cgroup", func(t *testing.T) {
		t.Parallel()
		c := newContainer(t, "c1", "")
		c.stdin = marshal(t, runcAny(t, &runcoptions.Options{ShimCgroup: "/nonexistent-cgroup/x"}))
		assertStartFails(t, c, "ShimCgroup", "/nonexistent-cgroup/x")
	})
	t.Run("foreign file", func(t *testing.T) {
		t.Parallel()
		c := newContainer(t, "c1", "")
		path, err := quick.SocketPath(c.socketDir, "/run/containerd/containerd.sock", c.ns, c.id)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		assertStartFails(t, c, path, "not a socket", "remove it")
		if data, err := os.ReadFile(path); err != nil || string(data) != "mine" {
			t.Errorf("changed the file: %q, %v", data, err)
		}
	})
	t.Run("path too long", func(t *testing.T) {
		t.Parallel()
		c := newContainer(t, "c1", "")
		c.env = []string{"SHIM_SOCKET_DIR=" + c.socketDir + "/" + strings.Repeat("x", 60)}
		assertStartFails(t, c, "too long", "42 bytes")
	})
	t.Run("nobody reads the answer", func(t *testing.T) {
		t.Parallel()
		c := newContainer(t, "c1", "")
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		_ = r.Close()
		if _, code := Main(Process{
			Args: c.flags(actionStart), Environ: c.environ(), Dir: string(c.dir), Stdout: w, Stderr: &strings.Builder{},
		}, c.config); code == 0 {
			t.Error("start succeeded")
		}
		if got := names(t, c.socketDir); got != "" {
			t.Errorf("left %q", got)
		}
		if pids := daemons(t, c.socketDir); len(pids) > 0 {
			t.Errorf("left processes %v", pids)
		}
	})
	t.Run("read-only bundle", func(t *testing.T) {
		t.Parallel()
		c := newContainer(t, "c1", "")
		if err := os.Mkdir(c.dir.Path("socket.json"), 0o700); err != nil {
			t.Fatal(err)
		}
		assertStartFails(t, c, "socket.json")
	})
}

func TestSocketOfADeadShimIsReplaced(t *testing.T) {
	t.Parallel()
	c := newContainer(t, "c1", "")
	socket := c.start()
	first := shimPid(t, socket)
	if err := unix.Kill(first, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitGone(t, first)
	if got := c.start(); got != socket {
		t.Errorf("socket moved from %s to %s", socket, got)
	}
	if second := shimPid(t, socket); second == first {
		t.Error("no new shim")
	}
}

func TestManyStartsAtOnceMakeOneShim(t *testing.T) {
	t.Parallel()
	first := newContainer(t, "pod", "")
	// A stale socket makes it harder.
	path, err := quick.SocketPath(first.socketDir, "/run/containerd/containerd.sock", first.ns, first.id)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_ = l.Close()
	var wg sync.WaitGroup
	for i := range 50 {
		c := newContainer(t, fmt.Sprintf("c%d", i), first.socketDir)
		c.annotate(quick.GroupAnnotations[1], "pod")
		wg.Go(func() {
			if out, err := c.exec(actionStart); err != nil || out != quick.Scheme+path {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	wg.Wait()
	if pids := daemons(t, first.socketDir); len(pids) != 1 {
		t.Errorf("shims: %v", pids)
	}
	if pid := shimPid(t, path); pid == 0 {
		t.Error("nobody answers")
	}
}

// Whatever start answers must be good for a Create, however the shim's end and
// the start fall together.
func TestStartWhileTheOldShimGoesGetsALivingOne(t *testing.T) {
	t.Parallel()
	old := newContainer(t, "pod", "")
	replaced := 0
	for i := range 100 {
		socket := old.start()
		oldPid := shimPid(t, socket)
		next := newContainer(t, fmt.Sprintf("c%d", i), old.socketDir)
		next.annotate(quick.GroupAnnotations[0], "pod")
		var wg sync.WaitGroup
		// Both orders, and everything between them.
		delay := [2]time.Duration{}
		delay[i%2] = time.Duration(i) * 10 * time.Microsecond
		wg.Go(func() {
			time.Sleep(delay[0])
			shutdown(t, socket)
		})
		wg.Go(func() {
			time.Sleep(delay[1])
			got := next.start()
			if got != socket {
				t.Errorf("socket moved to %s", got)
			}
			if pid := create(t, got, next.id); pid != oldPid {
				replaced++
			}
		})
		wg.Wait()
		end(t, socket, "pod", next.id)
	}
	t.Logf("%d of 100 got a new shim", replaced)
	if got := names(t, old.socketDir); got != "" {
		t.Errorf("left %q", got)
	}
}

// create returns the pid of the shim that took the container.
func create(t *testing.T, socket, id string) int {
	tc, done, err := dial(socket)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer done()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	r, err := tc.Create(ctx, &taskapi.CreateTaskRequest{ID: id})
	if err != nil {
		t.Errorf("create %s: %v", id, err)
	}
	return int(r.GetPid())
}

// end removes containers and waits until the shim is gone.
func end(t *testing.T, socket string, ids ...string) {
	t.Helper()
	pid := shimPid(t, socket)
	tc, done, err := dial(socket)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	for _, id := range ids {
		_ = os.Remove(quick.Announcement(socket, id))
		if _, err := tc.Delete(t.Context(), &taskapi.DeleteRequest{ID: id}); err != nil {
			t.Error(err)
		}
	}
	shutdown(t, socket)
	waitGone(t, pid)
}

func shutdown(t *testing.T, socket string) {
	tc, done, err := dial(socket)
	if err != nil {
		t.Error(err)
		return
	}
	defer done()
	// A shim that exits at once may close the connection before the answer is
	// out; containerd takes that for a success.
	if _, err := tc.Shutdown(t.Context(), &taskapi.ShutdownRequest{}); err != nil && !errors.Is(err, ttrpc.ErrClosed) {
		t.Error(err)
	}
}

func TestShimWithAContainerStays(t *testing.T) {
	t.Parallel()
	c := newContainer(t, "c1", "")
	socket := c.start()
	pid := shimPid(t, socket)
	create(t, socket, c.id)
	shutdown(t, socket)
	if shimPid(t, socket) != pid {
		t.Error("another shim")
	}
	end(t, socket, c.id)
	if got := names(t, c.socketDir); got != "" {
		t.Errorf("left %q", got)
	}
}

func TestAnnouncementsOfContainersThatNeverCameExpire(t *testing.T) {
	t.Parallel()
	c := newContainer(t, "pod", "")
	socket := c.start()
	pid := shimPid(t, socket)
	undo, err := quick.Announce(socket, "lost")
	if err != nil {
		t.Fatal(err)
	}
	defer undo()
	shutdown(t, socket)
	if shimPid(t, socket) != pid {
		t.Fatal("the shim went although a container is on its way")
	}
	past := time.Now().Add(-announcementLife - time.Second)
	if err := os.Chtimes(quick.Announcement(socket, "lost"), past, past); err != nil {
		t.Fatal(err)
	}
	end(t, socket, "pod")
}

func TestLockIsExclusiveAndLeavesNoFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range 8 {
		wg.Go(func() {
			for range 50 {
				l, err := quick.LockSocket(t.Context(), time.Minute, path)
				if err != nil {
					t.Error(err)
					return
				}
				if mu.TryLock() {
					runtime.Gosched()
					mu.Unlock()
				} else {
					t.Error("two hold the lock")
				}
				l.Unlock()
			}
		})
	}
	wg.Wait()
	if got := names(t, dir); got != "" {
		t.Errorf("left %q", got)
	}
}

func TestHeldLockIsNotWaitedForForever(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	l, err := quick.LockSocket(t.Context(), time.Minute, path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := quick.LockSocket(ctx, time.Minute, path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
}

func TestJoinCgroupFindsEveryHierarchy(t *testing.T) {
	t.Parallel()
	mk := func(root string, dirs ...string) {
		for _, d := range dirs {
			if err := os.MkdirAll(filepath.Join(root, d), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(root, d, "cgroup.procs"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	v1, v2 := t.TempDir(), t.TempDir()
	mk(v1, "cpu/shims", "memory/shims", "pids")
	mk(v2, "shims")
	if err := os.WriteFile(filepath.Join(v2, "cgroup.controllers"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for root, files := range map[string][]string{v1: {"cpu/shims", "memory/shims"}, v2: {"shims"}} {
		if err := joinCgroup(root, "/shims", 42); err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if data, err := os.ReadFile(filepath.Join(root, f, "cgroup.procs")); err != nil || string(data) != "42" {
				t.Errorf("%s holds %q, %v", f, data, err)
			}
		}
		if err := joinCgroup(root, "../../none", 42); err == nil || !strings.Contains(err.Error(), "/none") {
			t.Errorf("got %v", err)
		}
	}
}
