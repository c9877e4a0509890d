package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/oci"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// TestShimKilled shows that guests do not outlive their shim, that containerd's
// delete helper cleans up, and that other shims and their guests go on.
func TestShimKilled(t *testing.T) {
	var guests testenv.Guests
	img := guests.Multi(t, testenv.Wasm)
	c := testenv.StartContainerd(t, testenv.Newest)
	c.Import(t, img)
	events := c.Record(t)
	run := func(id, pod string, args ...string) *testenv.Task {
		return c.Run(t, testenv.Spec{ID: id, Image: img, Args: append([]string{multi}, args...), Opts: []oci.SpecOpts{group(pod)}})
	}
	a1, a2 := run("a1", "a", "spin"), run("a2", "a", "sleep")
	b1, b2 := run("b1", "b", "sleep"), run("b2", "b", "sleep")

	if shimOf(t, a1) != shimOf(t, a2) || shimOf(t, b1) != shimOf(t, b2) || shimOf(t, a1) == shimOf(t, b1) {
		t.Fatal("a group does not share one shim")
	}
	guestsOfA := []uint32{a1.Pid(), a2.Pid()}
	kill(t, shimOf(t, a1))
	for _, pid := range guestsOfA {
		requireGone(t, int(pid))
	}
	events.Require(t, "a1", "create", "start", "exit 137", "delete 137")
	events.Require(t, "a2", "create", "start", "exit 137", "delete 137")
	for i, k := range []*testenv.Task{b1, b2} {
		k.RequireStatus(t, client.Running)
		if r := k.Exec(t, fmt.Sprint("e", i), multi, "echo", "alive"); r.Stdout != "alive\n" {
			t.Errorf("%s: exec says %+v", k.ID(), r)
		}
	}
}

// TestMemberOfAGroupDeletedWhileTheOthersRun: containerd runs the delete helper
// for every container that it deletes, and the siblings must not notice.
func TestMemberOfAGroupDeletedWhileTheOthersRun(t *testing.T) {
	var guests testenv.Guests
	img := guests.Multi(t, testenv.Wasm)
	c := testenv.StartContainerd(t, testenv.Newest)
	c.Import(t, img)
	first := c.Run(t, testenv.Spec{ID: "first", Image: img, Args: []string{multi, "sleep"}, Opts: []oci.SpecOpts{group("g")}})
	second := c.Run(t, testenv.Spec{ID: "second", Image: img, Args: []string{multi, "sleep"}, Opts: []oci.SpecOpts{group("g")}})
	shim := shimOf(t, first) // started for the first; it must outlive it
	first.Signal(t, syscall.SIGTERM)
	if status := first.Finish(t); status != 143 {
		t.Errorf("exit status is %d, want 143", status)
	}
	second.RequireStatus(t, client.Running)
	third := c.Run(t, testenv.Spec{ID: "third", Image: img, Args: []string{multi, "sleep"}, Opts: []oci.SpecOpts{group("g")}})
	if shimOf(t, second) != shim || shimOf(t, third) != shim {
		t.Error("the group got a second shim")
	}
	if r := second.Exec(t, "e", multi, "echo", "alive"); r.Stdout != "alive\n" {
		t.Errorf("exec says %+v", r)
	}
}

// TestRunnerKilled is an end from outside: 137, told once.
func TestRunnerKilled(t *testing.T) {
	var guests testenv.Guests
	img := guests.Multi(t, testenv.Wasm)
	c := testenv.StartContainerd(t, testenv.Newest)
	c.Import(t, img)
	events := c.Record(t)
	k := c.Run(t, testenv.Spec{ID: "r", Image: img, Args: []string{multi, "spin"}})
	kill(t, int(k.Pid()))
	if status := k.Finish(t); status != 137 {
		t.Errorf("exit status is %d, want 137", status)
	}
	events.Require(t, "r", "create", "start", "exit 137", "delete 137")
}

// shimOf is the pid of the shim that a task's process is a child of.
func shimOf(t *testing.T, k *testenv.Task) int {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", k.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	var state string
	var ppid int
	rest := string(data)[strings.LastIndexByte(string(data), ')')+1:]
	if _, err := fmt.Sscan(rest, &state, &ppid); err != nil {
		t.Fatal(err)
	}
	if exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", ppid)); !strings.HasPrefix(filepath.Base(exe), "containerd-shim-wazero") {
		t.Fatalf("the parent of %s is %d, %s", k.ID(), ppid, exe)
	}
	return ppid
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

func requireGone(t *testing.T, pid int) {
	t.Helper()
	testenv.Eventually(t, fmt.Sprintf("end of process %d", pid), func() error {
		return stillThere(pid)
	})
}

func stillThere(pid int) error {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil || strings.Contains(string(data), ") Z ") {
		return nil
	}
	return fmt.Errorf("it is there: %s", data)
}
