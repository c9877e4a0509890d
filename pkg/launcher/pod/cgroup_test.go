package pod

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/bundle"
)

func TestCgroupIsWhereContainerdPutsContainers(t *testing.T) {
	t.Parallel()
	for parent, want := range map[string]Cgroup{
		"":                      {},
		"/kubepods/burstable/x": {Path: "/kubepods/burstable/x/id"},
		"relative":              {Path: "/relative/id"},
		"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podx.slice": {
			Path:  "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podx.slice/cri-containerd-id.scope",
			Slice: "kubepods-besteffort-podx.slice", Unit: "cri-containerd-id.scope",
		},
		"kubepods-besteffort-podx.slice": {
			Path:  "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podx.slice/cri-containerd-id.scope",
			Slice: "kubepods-besteffort-podx.slice", Unit: "cri-containerd-id.scope",
		},
		"-.slice": {Path: "/cri-containerd-id.scope", Slice: "-.slice", Unit: "cri-containerd-id.scope"},
	} {
		if got := CgroupOf(parent, "id"); got != want {
			t.Errorf("below %q: %+v, want %+v", parent, got, want)
		}
	}
}

func TestCleanupOfNothing(t *testing.T) {
	t.Parallel()
	dir := bundle.Dir(t.TempDir())
	if err := Cleanup(context.Background(), dir); err != nil {
		t.Errorf("a container's bundle: %v", err)
	}
	if err := dir.WriteSandbox(bundle.Sandbox{ID: "x", Cgroup: "/no-such-cgroup-of-a-test/x"}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := Cleanup(context.Background(), dir); err != nil {
			t.Errorf("a pod of which nothing is left: %v", err)
		}
	}
}

func TestCleanupUnmountsTheSharedMemory(t *testing.T) {
	t.Parallel()
	dir := bundle.Dir(t.TempDir())
	if err := dir.WriteSandbox(bundle.Sandbox{ID: "x"}); err != nil {
		t.Fatal(err)
	}
	if err := MountShm(dir); err != nil {
		t.Skip(err)
	}
	file := filepath.Join(dir.Shm(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Error(err)
	}
	if err := Cleanup(context.Background(), dir); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("it is still mounted")
		_ = UnmountShm(dir)
	}
}
