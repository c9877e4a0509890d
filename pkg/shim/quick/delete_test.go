package quick_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/bundle"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/quick"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestDeleteIsSureOfWhatTheShimHasDeleted(t *testing.T) {
	t.Parallel()
	at := time.Now().Add(-time.Hour)
	exit := bundle.Exit{Pid: 42, Status: 3, At: at}
	for name, tc := range map[string]struct {
		prepare     func(*testing.T, bundle.Dir)
		sure        bool
		pid, status uint32
		old         bool
	}{
		"no mark":   {func(t *testing.T, d bundle.Dir) { must(t, d.WriteExit(exit)) }, false, 0, 0, false},
		"mark":      {func(t *testing.T, d bundle.Dir) { must(t, d.MarkDeleted()) }, true, 0, 137, false},
		"no bundle": {func(t *testing.T, d bundle.Dir) { must(t, os.Remove(string(d))) }, true, 0, 137, false},
		"pid": {func(t *testing.T, d bundle.Dir) {
			must(t, d.WriteState(bundle.State{ID: `"é"`, Pid: 42}))
			must(t, d.MarkDeleted())
		}, true, 42, 137, false},
		"no pid": {func(t *testing.T, d bundle.Dir) {
			must(t, d.WriteState(bundle.State{}))
			must(t, d.MarkDeleted())
		}, true, 0, 137, false},
		"exit": {func(t *testing.T, d bundle.Dir) {
			must(t, d.WriteState(bundle.State{Pid: 41}))
			must(t, d.WriteExit(exit))
			must(t, d.WriteSocket(bundle.Socket{Path: d.Path("gone")}))
			must(t, d.MarkDeleted())
		}, true, 42, 3, true},
		"mark is a directory": {func(t *testing.T, d bundle.Dir) { must(t, os.Mkdir(d.Path("deleted"), 0o700)) }, false, 0, 0, false},
		"damaged exit": {func(t *testing.T, d bundle.Dir) {
			must(t, os.WriteFile(d.Path("exit.json"), []byte(`{"version":1`), 0o600))
			must(t, d.MarkDeleted())
		}, false, 0, 0, false},
		"empty exit": {func(t *testing.T, d bundle.Dir) {
			must(t, os.WriteFile(d.Path("exit.json"), []byte(`{"version":1}`), 0o600))
			must(t, d.MarkDeleted())
		}, false, 0, 0, false},
		"exit is a FIFO": {func(t *testing.T, d bundle.Dir) {
			must(t, unix.Mkfifo(d.Path("exit.json"), 0o600))
			must(t, d.MarkDeleted())
		}, false, 0, 0, false},
		"large exit": {func(t *testing.T, d bundle.Dir) {
			must(t, os.WriteFile(d.Path("exit.json"), make([]byte, 64<<10+1), 0o600))
			must(t, d.MarkDeleted())
		}, false, 0, 0, false},
		"later shim": {func(t *testing.T, d bundle.Dir) {
			must(t, os.WriteFile(d.Path("wazero.json"), []byte(`{"version":2,"pid":7}`), 0o600))
			must(t, d.MarkDeleted())
		}, false, 0, 0, false},
		"later socket": {func(t *testing.T, d bundle.Dir) {
			must(t, os.WriteFile(d.Path("socket.json"), []byte(`{"version":2,"path":"/x"}`), 0o600))
			must(t, d.MarkDeleted())
		}, false, 0, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			tc.prepare(t, bundle.Dir(dir))
			c := quick.Command{Namespace: "n", ID: "c", Action: quick.ActionDelete}
			for _, flag := range []bool{false, true} { // as often as you like
				cwd := dir
				if flag {
					c.Bundle, cwd = dir, ""
				}
				got, err := quick.Delete(c, cwd)
				if !tc.sure {
					if !errors.Is(err, quick.ErrUnsure) {
						t.Errorf("sure of %+v, %v", got, err)
					}
					continue
				}
				if err != nil || got.Pid != tc.pid || got.Status != tc.status {
					t.Errorf("got %+v, %v", got, err)
				}
				if tc.old && !got.At.Equal(at) || !tc.old && time.Since(got.At) > time.Minute {
					t.Errorf("ended at %v", got.At)
				}
			}
		})
	}
	for _, dir := range []string{"", "x", "./x", "/x/", "/x/../y"} {
		if _, err := quick.Delete(quick.Command{ID: "c", Bundle: dir}, ""); !errors.Is(err, quick.ErrUnsure) {
			t.Errorf("sure of bundle %q: %v", dir, err)
		}
	}
}

func TestDeleteTakesTheClaimOnALivingShimBack(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "q") // t.TempDir is too long for a socket
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	fd, err := quick.Listen(socket)
	must(t, err)
	d := bundle.Dir(t.TempDir())
	must(t, d.WriteSocket(bundle.Socket{Path: socket}))
	must(t, d.MarkDeleted())
	for _, alive := range []bool{true, false} {
		_, err := quick.Announce(socket, "c")
		must(t, err)
		if !alive {
			must(t, unix.Close(fd))
		}
		if _, err := quick.Delete(quick.Command{ID: "c"}, string(d)); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(dir)
		must(t, err)
		if left := len(entries); alive && left != 1 || !alive && left != 0 {
			t.Errorf("alive: %v, left: %v", alive, entries)
		}
	}
}
