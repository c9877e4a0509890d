package bundle

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// mountBundle makes a bundle whose name needs escapes, with a tmpfs as rootfs.
func mountBundle(t *testing.T) Dir {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root to mount")
	}
	d := Dir(filepath.Join(t.TempDir(), `a b\c`))
	if err := os.MkdirAll(d.Rootfs(), 0o700); err != nil {
		t.Fatal(err)
	}
	mountTmpfs(t, d.Rootfs())
	t.Cleanup(func() {
		for unix.Unmount(d.Rootfs(), unix.MNT_DETACH) == nil {
		}
	})
	return d
}

func mountTmpfs(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", path, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("cannot mount a tmpfs here: %v", err)
	}
}

func assertNoMounts(t *testing.T, d Dir) {
	t.Helper()
	if points, err := mountsBelow(d.Rootfs()); err != nil || len(points) > 0 {
		t.Errorf("left %q, %v", points, err)
	}
}

func TestUnmountRemovesStackedAndNestedMountsAndNoOther(t *testing.T) {
	t.Parallel()
	d := mountBundle(t)
	mountTmpfs(t, d.Rootfs()+"/a")
	mountTmpfs(t, d.Rootfs()+"/a/b")
	mountTmpfs(t, d.Rootfs()) // hides the others
	mountTmpfs(t, d.Rootfs()+"/c d")
	other := d.Path("rootfs-of-another")
	mountTmpfs(t, other)
	defer unix.Unmount(other, unix.MNT_DETACH)
	if err := d.UnmountRootfs(t.Context()); err != nil {
		t.Fatal(err)
	}
	assertNoMounts(t, d)
	if points, err := mountsBelow(other); err != nil || len(points) != 1 {
		t.Errorf("touched its neighbour: %q, %v", points, err)
	}
}

func TestBusyMountIsDetached(t *testing.T) {
	t.Parallel()
	d := mountBundle(t)
	f, err := os.Create(filepath.Join(d.Rootfs(), "busy"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	begin := time.Now()
	if err := d.UnmountRootfs(t.Context()); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	assertNoMounts(t, d)
}

func TestEndedContextStillDetaches(t *testing.T) {
	t.Parallel()
	d := mountBundle(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.UnmountRootfs(ctx); err != nil {
		t.Fatal(err)
	}
	assertNoMounts(t, d)
}

func TestUnmountInParallelAndWithNothingThere(t *testing.T) {
	t.Parallel()
	d := mountBundle(t)
	mountTmpfs(t, d.Rootfs()+"/a")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := d.UnmountRootfs(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	assertNoMounts(t, d)
	if err := Dir("/nonexistent/bundle").UnmountRootfs(t.Context()); err != nil {
		t.Error(err)
	}
}
