package container

import (
	"fmt"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/cgroupfs"
)

// TestHold also takes over cgroups that are there, as systemd's are.
func TestHold(t *testing.T) {
	t.Parallel()
	l := layouts(t)["this host"]
	path := pathFor(t)
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if err := cgroupfs.Remove(l.Dirs(path)...); err != nil {
			t.Error(err)
		}
	}()
	for range 2 {
		if err := Hold(path, cmd.Process.Pid); err != nil {
			t.Fatal(err)
		}
		for _, dir := range l.Dirs(path) {
			if got := cgroupfs.Members(dir); !slices.Equal(got, []int{cmd.Process.Pid}) {
				t.Errorf("members of %s are %v", dir, got)
			}
		}
		file, want := "cpu.shares", "2"
		if l.V2 {
			file, want = "cpu.weight", "1"
		}
		if got, err := cgroupfs.Read(l.Dir("cpu", path), file); got != want && (err == nil || !l.V2) {
			t.Errorf("%s is %q (%v)", file, got, err)
		}
	}
}

func TestHoldOfNobody(t *testing.T) {
	t.Parallel()
	l := layouts(t)["this host"]
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	path := fmt.Sprintf("/hold-test-%d", time.Now().UnixNano())
	defer cgroupfs.Remove(l.Dirs(path)...)
	if err := Hold(path, cmd.Process.Pid); err == nil {
		t.Error("a process that has ended is held")
	}
}
