package containerd

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

const multi = "/multi.wasm"

// TestEveryContainerd shows that one shim binary serves every supported
// containerd, with its own ctr and across a crash of the daemon.
func TestEveryContainerd(t *testing.T) {
	var guests testenv.Guests
	for _, version := range testenv.Versions() {
		t.Run(version, func(t *testing.T) {
			c := testenv.StartContainerd(t, version)
			img := guests.Multi(t, testenv.Wasm)
			c.Import(t, img)
			native := guests.Multi(t, testenv.Native)
			c.Import(t, native)
			t.Run("ctr run", func(t *testing.T) { ctrRun(t, c, img) })
			t.Run("ctr run of a native image", func(t *testing.T) { ctrRunNative(t, c, native) })
			t.Run("ctr exec, kill and delete", func(t *testing.T) { ctrLifecycle(t, c, img) })
			t.Run("containerd restarts", func(t *testing.T) { survivesRestart(t, c, img) })
			t.Run("exit while containerd is away", func(t *testing.T) { exitWhileAway(t, c, img) })
		})
	}
}

func ctrRun(t *testing.T, c *testenv.Containerd, img testenv.Image) {
	out := c.Ctr(t, "run", "--rm", "--runtime", testenv.Runtime, img.Name, "run", multi, "echo", "hello")
	if out != "hello\n" {
		t.Errorf("output is %q", out)
	}
	_, err := c.TryCtr("run", "--rm", "--runtime", testenv.Runtime, img.Name, "run", multi, "exit", "3")
	if err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("ctr run of a guest that exits with 3: %v", err)
	}
}

func ctrRunNative(t *testing.T, c *testenv.Containerd, img testenv.Image) {
	out := c.Ctr(t, "run", "--rm", "--runtime", testenv.Runtime, img.Name, "native", "/multi", "echo", "native")
	if out != "native\n" {
		t.Errorf("output is %q", out)
	}
}

func ctrLifecycle(t *testing.T, c *testenv.Containerd, img testenv.Image) {
	c.Ctr(t, "run", "--detach", "--runtime", testenv.Runtime, img.Name, "life", multi, "sleep")
	t.Cleanup(func() { _, _ = c.TryCtr("container", "rm", "life") })
	out := c.Ctr(t, "task", "exec", "--exec-id", "e1", "life", multi, "echo", "from exec")
	if out != "from exec\n" {
		t.Errorf("output of exec is %q", out)
	}
	if out := c.Ctr(t, "task", "ls"); !strings.Contains(out, "RUNNING") {
		t.Errorf("ctr task ls says %q", out)
	}
	c.Ctr(t, "task", "kill", "--signal", "SIGTERM", "life")
	testenv.Eventually(t, "STOPPED", func() error {
		if out := c.Ctr(t, "task", "ls"); !strings.Contains(out, "STOPPED") {
			return fmt.Errorf("ctr task ls says %q", out)
		}
		return nil
	})
	// ctr returns the task's exit status as an error.
	if _, err := c.TryCtr("task", "delete", "life"); err != nil && !strings.Contains(err.Error(), "exit status 143") {
		t.Errorf("delete: %v", err)
	}
	c.Ctr(t, "container", "delete", "life")
}

func survivesRestart(t *testing.T, c *testenv.Containerd, img testenv.Image) {
	k := c.Run(t, testenv.Spec{ID: "restart", Image: img, Args: []string{multi, "tick"}})
	k.Stdout.WaitFor(t, "tick 3\n")

	c.Kill()
	seen := k.Stdout.String()
	c.Start(t)

	k.RequireStatus(t, client.Running)
	k.Rewait(t)
	if r := k.Exec(t, "e1", multi, "echo", "after the restart"); r.Status != 0 || r.Stdout != "after the restart\n" {
		t.Errorf("exec after the restart: %+v", r)
	}
	testenv.Eventually(t, "more output", func() error {
		if len(k.Stdout.String()) <= len(seen)+len("tick 10\n") {
			return fmt.Errorf("output is still %q", k.Stdout)
		}
		return nil
	})
	events := c.Record(t)
	k.Signal(t, syscall.SIGTERM)
	if status := k.Finish(t); status != 143 {
		t.Errorf("exit status is %d, want 143", status)
	}
	events.Require(t, "restart", "exit 143", "delete 143")
}

func exitWhileAway(t *testing.T, c *testenv.Containerd, img testenv.Image) {
	k := c.Run(t, testenv.Spec{ID: "away", Image: img, Args: []string{multi, "sleep", "2"}})
	k.Stdout.WaitFor(t, "sleeping")
	c.Kill()
	k.Stdout.WaitFor(t, "awake")
	time.Sleep(time.Second) // the guest is gone, and the shim has tried to say so
	seen := len(c.Log())
	c.Start(t)

	// Nobody can subscribe before containerd forwards what the shim has kept for
	// it, but it logs that.
	requireForwarded(t, c, seen, "/tasks/exit")
	exit, err := k.Wait(k.Context())
	if err == nil {
		if status := <-exit; status.Error() == nil && status.ExitCode() != 0 {
			t.Errorf("exit status is %d, want 0", status.ExitCode())
		}
		return
	}
	// From 1.7 on containerd removes a task that it finds stopped when it starts.
	if !errdefs.IsNotFound(err) {
		t.Fatal(err)
	}
	requireForwarded(t, c, seen, "/tasks/exit", "/tasks/delete")
}

// requireForwarded waits until containerd has logged, after the first seen bytes
// of its log, that these events came first, in this order. The start may come
// before them: containerd may have been killed before it took that.
func requireForwarded(t *testing.T, c *testenv.Containerd, seen int, want ...string) {
	t.Helper()
	testenv.Eventually(t, strings.Join(want, ", "), func() error {
		var got []string
		for line := range strings.Lines(c.Log()[seen:]) {
			if _, after, ok := strings.Cut(line, `msg="event forwarded"`); ok {
				_, topic, _ := strings.Cut(after, "topic=")
				topic, _, _ = strings.Cut(topic, " ")
				got = append(got, topic)
			}
		}
		if len(got) > 0 && got[0] == "/tasks/start" {
			got = got[1:]
		}
		if len(got) < len(want) || !slices.Equal(got[:len(want)], want) {
			return fmt.Errorf("containerd got %v", got)
		}
		return nil
	})
}
