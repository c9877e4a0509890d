package oci

import (
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// A hostile container exchanges a directory with a link that leads out, again
// and again, while paths through it are resolved.
func TestNoFileOutsideIsOpenedWhileTheTreeChanges(t *testing.T) {
	t.Parallel()
	const rounds = 20000
	base := directory(t,
		file("secret/x", "outside", 0o644),
		file("root/dir/x", "inside", 0o644),
		file("root/dir/sub/y", "inside", 0o644),
	)
	link("root/link", "../secret")(t, base)
	link("root/absolute", filepath.Join(base, "secret"))(t, base)
	tree := bundleTree(t, filepath.Join(base, "root"))

	stop := make(chan struct{})
	var swapper sync.WaitGroup
	swapper.Go(func() {
		a, b, c := filepath.Join(base, "root/dir"), filepath.Join(base, "root/link"), filepath.Join(base, "root/absolute")
		for {
			select {
			case <-stop:
				return
			default:
				_ = unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
				_ = unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, c, unix.RENAME_EXCHANGE)
			}
		}
	})
	defer swapper.Wait()
	defer close(stop)

	seen := 0
	for i := range rounds {
		path := []string{"/dir/x", "/dir/sub/../x", "/link/x", "/absolute/x"}[i%4]
		f, resolved, err := tree.Open(path, owner())
		if err != nil {
			continue
		}
		content, err := io.ReadAll(f)
		f.Close()
		check(t, err)
		if string(content) != "inside" {
			t.Fatalf("%s resolved to %s, which reads %q", path, resolved, content)
		}
		seen++
	}
	if seen == 0 {
		t.Error("no path ever resolved: the test shows nothing")
	}
}

// A directory that is moved out of the tree while we are in it does not make
// ".." lead out.
func TestParentOfAMovedDirectoryIsWhereWeCameFrom(t *testing.T) {
	t.Parallel()
	base := directory(t, file("root/a/b/x", "", 0o644), file("root/found", "inside", 0o644), file("found", "outside", 0o644))
	tree := bundleTree(t, filepath.Join(base, "root"))
	w := newWalk(tree, owner())
	defer w.close()
	check(t, w.to("/a/b"))
	check(t, os.Rename(filepath.Join(base, "root/a/b"), filepath.Join(base, "moved")))
	check(t, w.to("../../found"))
	f, err := reopen(w.top().fd, "found")
	check(t, err)
	defer f.Close()
	content, err := io.ReadAll(f)
	if err != nil || string(content) != "inside" {
		t.Fatalf("%q %v", content, err)
	}
}
