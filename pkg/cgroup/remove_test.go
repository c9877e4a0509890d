package cgroup

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/containerd/cgroups/v3"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/cgroupfs"
)

func TestRemovePathKillsAndRemovesATree(t *testing.T) {
	t.Parallel()
	name := fmt.Sprintf("wazero-test-%d", os.Getpid())
	base := "/sys/fs/cgroup"
	if cgroups.Mode() != cgroups.Unified {
		base = "/sys/fs/cgroup/pids"
	}
	below := filepath.Join(base, name, "a[b]", "c")
	if err := os.MkdirAll(below, 0o755); err != nil {
		t.Skip(err)
	}
	defer os.Remove(filepath.Join(base, name))
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	if err := cgroupfs.Write(below, "cgroup.procs", fmt.Sprint(cmd.Process.Pid)); err != nil {
		t.Fatal(err)
	}
	sibling := filepath.Join(base, name, "ab")
	if err := os.Mkdir(sibling, 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(sibling)
	for range 2 {
		if err := RemovePath("/" + name + "/a[b]"); err != nil {
			t.Error(err)
		}
	}
	if err := <-ended; err == nil {
		t.Error("the process ended by itself")
	}
	if _, err := os.Stat(filepath.Join(base, name, "a[b]")); err == nil {
		t.Error("the cgroup is still there")
	}
	if _, err := os.Stat(sibling); err != nil {
		t.Error(err)
	}
	for _, root := range []string{"", "/", "/a/.."} {
		if RemovePath(root) == nil {
			t.Errorf("%q was removed", root)
		}
	}
}
