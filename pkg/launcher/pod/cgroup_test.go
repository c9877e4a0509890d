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

func TestCgroupOfAMember(t *testing.T) {
	t.Parallel()
	for cgroupsPath, want := range map[string]string{
		"":                            "",
		"relative/x":                  "",
		"/kubepods/pod1/id":           "/kubepods/pod1/id",
		"a-b.slice:cri-containerd:id": "/a.slice/a-b.slice/cri-containerd-id.scope",
		"system.slice:docker:x.slice": "/system.slice/x.slice",
		"/:a:b":                       "/:a:b",
	} {
		if got := MemberCgroup(cgroupsPath); got != want {
			t.Errorf("of %q: %q, want %q", cgroupsPath, got, want)
		}
	}
}

func noMember(context.Context, bundle.Dir, string) error { panic("there is none") }

func TestCleanupRemovesMembersThatAreThere(t *testing.T) {
	t.Parallel()
	dir, there, deleted := bundle.Dir(t.TempDir()), bundle.Dir(t.TempDir()), bundle.Dir(t.TempDir())
	if err := deleted.MarkDeleted(); err != nil {
		t.Fatal(err)
	}
	if err := dir.WriteSandbox(bundle.Sandbox{ID: "x", Members: []bundle.Member{
		{ID: "deleted", Bundle: deleted}, {ID: "there", Bundle: there}, {ID: "gone", Bundle: dir + "/gone"},
	}}); err != nil {
		t.Fatal(err)
	}
	var removed []string
	err := Cleanup(t.Context(), dir, func(_ context.Context, dir bundle.Dir, id string) error {
		removed = append(removed, id+" "+string(dir))
		return nil
	})
	if err != nil || len(removed) != 1 || removed[0] != "there "+string(there) {
		t.Errorf("removed %q, %v", removed, err)
	}
}

func TestCleanupOfNothing(t *testing.T) {
	t.Parallel()
	dir := bundle.Dir(t.TempDir())
	if err := Cleanup(t.Context(), dir, noMember); err != nil {
		t.Errorf("a container's bundle: %v", err)
	}
	if err := dir.WriteSandbox(bundle.Sandbox{ID: "x", Cgroup: "/no-such-cgroup-of-a-test/x"}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := Cleanup(t.Context(), dir, noMember); err != nil {
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
	if err := Cleanup(t.Context(), dir, noMember); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("it is still mounted")
		_ = UnmountShm(dir)
	}
}
