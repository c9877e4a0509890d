package bootstrap

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/bundle"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/quick"
)

// remove runs delete, which must succeed, and returns its answer.
func (c *container) remove() *taskapi.DeleteResponse {
	c.t.Helper()
	stdout, stderr, code := c.run(actionDelete)
	if code != 0 || stderr != "" {
		c.t.Errorf("delete: exit %d, stderr %q", code, stderr)
	}
	var r taskapi.DeleteResponse
	if err := proto.Unmarshal([]byte(stdout), &r); err != nil {
		c.t.Error(err)
	}
	return &r
}

func TestDeleteAnswersWhatIsKnownOfTheEnd(t *testing.T) {
	t.Parallel()
	at := time.Now().Add(-time.Hour)
	write := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		prepare func(*testing.T, bundle.Dir)
		pid     uint32
		status  uint32
		old     bool
	}{
		"nothing": {func(*testing.T, bundle.Dir) {}, 0, 137, false},
		"pid":     {func(t *testing.T, d bundle.Dir) { write(t, d.WriteState(bundle.State{Pid: 42})) }, 42, 137, false},
		"exit":    {func(t *testing.T, d bundle.Dir) { write(t, d.WriteExit(bundle.Exit{Pid: 42, Status: 3, At: at})) }, 42, 3, true},
		"damage":  {func(t *testing.T, d bundle.Dir) { write(t, os.WriteFile(d.Path("exit.json"), []byte("{"), 0o600)) }, 0, 137, false},
		"later shim": {func(t *testing.T, d bundle.Dir) {
			write(t, os.WriteFile(d.Path("exit.json"), []byte(`{"version":9}`), 0o600))
		}, 0, 137, false},
		"bundle gone": {func(t *testing.T, d bundle.Dir) { write(t, os.Remove(string(d))) }, 0, 137, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newContainer(t, "c1", "")
			tc.prepare(t, c.dir)
			for range 2 { // as often as you like
				r := c.remove()
				if r.GetPid() != tc.pid || r.GetExitStatus() != tc.status {
					t.Errorf("got %v", r)
				}
				if got := r.GetExitedAt().AsTime(); tc.old && !got.Equal(at) || !tc.old && time.Since(got) > time.Minute {
					t.Errorf("exited at %v", got)
				}
			}
		})
	}
}

func TestDeleteCleansUpUnlessTheShimHasDone(t *testing.T) {
	t.Parallel()
	c := newContainer(t, "c1", "")
	var calls []string
	c.config.Cleanup = func(_ context.Context, d bundle.Dir, id string) error {
		calls = append(calls, string(d)+" "+id)
		return nil
	}
	c.remove()
	if len(calls) != 1 || calls[0] != string(c.dir)+" c1" {
		t.Errorf("cleaned up %q", calls)
	}
	if err := c.dir.MarkDeleted(); err != nil {
		t.Fatal(err)
	}
	c.remove()
	if len(calls) != 1 {
		t.Error("cleaned up what the shim had deleted")
	}
}

func TestDeleteTakesTheBundleFromTheFlag(t *testing.T) {
	t.Parallel()
	c := newContainer(t, "c1", "")
	want := c.dir
	var got bundle.Dir
	c.config.Cleanup = func(_ context.Context, d bundle.Dir, _ string) error { got = d; return nil }
	c.args = []string{"-bundle", string(want)}
	for _, cwd := range []bundle.Dir{bundle.Dir(t.TempDir()), ""} { // "" is a deleted one
		c.dir, got = cwd, ""
		c.remove()
		if got != want {
			t.Errorf("cleaned up %q", got)
		}
	}
	c.args = nil
	if _, stderr, code := c.run(actionDelete); code == 0 || !strings.Contains(stderr, "-bundle") {
		t.Errorf("exit %d, stderr %q", code, stderr)
	}
}

func TestFailedCleanupIsReportedSoThatContainerdTriesAgain(t *testing.T) {
	t.Parallel()
	c := newContainer(t, "c1", "")
	c.config.Cleanup = func(context.Context, bundle.Dir, string) error { return errors.New("process 42 lives on") }
	stdout, stderr, code := c.run(actionDelete)
	if code == 0 || stdout != "" || !strings.Contains(stderr, "c1") || !strings.Contains(stderr, "process 42 lives on") {
		t.Errorf("exit %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

func TestHangingCleanupEndsBeforeContainerdGivesUp(t *testing.T) {
	t.Parallel()
	c := newContainer(t, "c1", "")
	begin := time.Now()
	var deadline time.Time
	c.config.Cleanup = func(ctx context.Context, _ bundle.Dir, _ string) error {
		deadline, _ = ctx.Deadline()
		<-ctx.Done()
		return ctx.Err()
	}
	if _, _, code := c.run(actionDelete); code == 0 {
		t.Error("success")
	}
	// containerd gives up after 5 s. How long it really takes is also the machine's.
	if limit := deadline.Sub(begin); limit <= 0 || limit > 5*time.Second {
		t.Errorf("the limit is %v", limit)
	}
	if took := time.Since(begin); took > 15*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestDeleteUnmountsTheRootfs(t *testing.T) {
	t.Parallel()
	c := newContainer(t, "c1", "")
	if err := os.Mkdir(c.dir.Rootfs(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", c.dir.Rootfs(), "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("cannot mount a tmpfs here: %v", err)
	}
	defer unix.Unmount(c.dir.Rootfs(), unix.MNT_DETACH)
	busy, err := os.Create(filepath.Join(c.dir.Rootfs(), "busy"))
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	c.remove()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(mounts, []byte(c.dir.Rootfs())) {
		t.Error("still mounted")
	}
}

func TestDeletesInParallel(t *testing.T) {
	t.Parallel()
	c := newContainer(t, "c1", "")
	socket := c.start()
	pid := shimPid(t, socket)
	_ = unix.Kill(pid, unix.SIGKILL)
	waitGone(t, pid)
	var calls atomic.Int32
	c.config.Cleanup = func(context.Context, bundle.Dir, string) error { calls.Add(1); return nil }
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() { c.remove() })
	}
	wg.Wait()
	if calls.Load() != 10 {
		t.Errorf("%d cleanups", calls.Load())
	}
	if got := names(t, c.socketDir); got != "" {
		t.Errorf("left %q", got)
	}
}

func TestDeleteRemovesTheSocketOfADeadShimOnly(t *testing.T) {
	t.Parallel()
	pod := newContainer(t, "pod", "")
	c := newContainer(t, "c1", pod.socketDir)
	c.annotate(quick.GroupAnnotations[1], "pod")
	socket := pod.start()
	pid := shimPid(t, socket)
	create(t, socket, "pod")
	c.start()
	create(t, socket, c.id)
	c.remove() // as if containerd had lost the connection
	shutdown(t, socket)
	if shimPid(t, socket) != pid {
		t.Fatal("the group's shim is gone")
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitGone(t, pid)
	c.remove()
	if got := names(t, pod.socketDir); got != "" {
		t.Errorf("left %q", got)
	}
	pod.remove()
}

// The shim lives, but containerd could not reach it.
func TestDeleteMakesALivingShimForgetTheContainer(t *testing.T) {
	t.Parallel()
	c := newContainer(t, "c1", "")
	socket := c.start()
	pid := shimPid(t, socket)
	create(t, socket, c.id)
	c.remove()
	waitGone(t, pid)
	if got := names(t, c.socketDir); got != "" {
		t.Errorf("left %q", got)
	}
}

// That is a start whose caller died before Create.
func TestDeleteEndsAShimThatNeverGotAContainer(t *testing.T) {
	t.Parallel()
	c := newContainer(t, "c1", "")
	socket := c.start()
	pid := shimPid(t, socket)
	joined := newContainer(t, "c2", c.socketDir)
	joined.annotate(quick.GroupAnnotations[1], "c1")
	joined.start() // announced, and then forgotten
	c.remove()
	if shimPid(t, socket) != pid {
		t.Fatal("the shim went although a container is announced")
	}
	joined.remove()
	waitGone(t, pid)
	if got := names(t, c.socketDir); got != "" {
		t.Errorf("left %q", got)
	}
}

func TestDeleteAfterAKilledStartLeavesNothing(t *testing.T) {
	t.Parallel()
	c := newContainer(t, "c1", "")
	// What a start leaves that is killed between bind and spawn.
	path, err := quick.SocketPath(c.socketDir, "/run/containerd/containerd.sock", c.ns, c.id)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.dir.WriteSocket(bundle.Socket{Path: path}); err != nil {
		t.Fatal(err)
	}
	fd, err := quick.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.Close(fd)
	c.remove()
	if got := names(t, c.socketDir); got != "" {
		t.Errorf("left %q", got)
	}
}
