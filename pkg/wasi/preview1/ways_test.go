package preview1

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestWaysAreGivenUpWhenTheyLeadElsewhere(t *testing.T) {
	t.Parallel()
	eachWalk(t, func(t *testing.T, by resolution) {
		g := newCage(t, by, "a/b/file", "c/b/other", "link -> a", "x/up -> ../a")
		must(t, os.WriteFile(filepath.Join(g.dir, "c/b/file"), []byte("c/b/file"), 0o644))
		expect := func(path, want string) {
			t.Helper()
			for range 3 { // walked, remembered, leapt
				g.forget()
				fd, e := g.tryOpen(asked{path: path, base: FDRead})
				if e != ESUCCESS {
					t.Fatalf("%s: errno %d", path, e)
				}
				if got := g.readFile(fd); got != want {
					t.Errorf("%s is %q, want %q", path, got, want)
				}
				g.expect(ESUCCESS, "fd_close", fd)
			}
		}
		all := func(want string) {
			t.Helper()
			expect("a/b/file", want)
			expect("link/b/file", want)
			expect("link/./b//file", want)
			expect("x/up/b/file", want)
			expect("c/../a/b/file", want)
		}
		all("a/b/file")
		must(t, exchange(filepath.Join(g.dir, "a"), filepath.Join(g.dir, "c")))
		all("c/b/file")
		must(t, exchange(filepath.Join(g.dir, "a/b"), filepath.Join(g.dir, "c/b")))
		all("a/b/file")
		must(t, os.RemoveAll(filepath.Join(g.dir, "a")))
		populate(t, g.dir, "a/b/file")
		all("a/b/file")
		must(t, os.RemoveAll(filepath.Join(g.dir, "a/b")))
		populate(t, g.dir, "a/b -> ../../secret")
		for _, path := range []string{"a/b/secret", "link/b/secret", "a/b/file"} {
			if _, e := g.tryOpen(asked{path: path, base: FDRead}); e != ENOENT {
				t.Errorf("%s: errno %d", path, e)
			}
		}
	})
}

// TestWaysAreForgotten is not parallel: it counts what the process has open.
func TestWaysAreForgotten(t *testing.T) {
	var files []string
	for i := range 40 {
		files = append(files, fmt.Sprintf("%d/a/b/file", i))
	}
	g := newTree(t, append(files, "1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18/19/file")...)
	before := openDescriptors(t)
	for _, path := range files {
		g.stat(path, 0)
	}
	if kept := openDescriptors(t) - before; kept != 3*len(g.system.ways.known) {
		t.Errorf("%d directories are open", kept)
	}
	// A guest that waits keeps nothing busy.
	subscription := make([]byte, 48)
	g.expect(ESUCCESS, "poll_oneoff", g.put(subscription), g.room(32), 1, g.room(4))
	if kept := openDescriptors(t) - before; kept != 0 {
		t.Errorf("%d directories are open while it waits", kept)
	}
	// What is too deep is not kept.
	g.stat("1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18/19/file", 0)
	if kept := openDescriptors(t) - before; kept != 0 {
		t.Errorf("%d directories are open", kept)
	}
	// Neither is what begins at a directory that is closed.
	dir := g.open(asked{path: "5", oflags: oDirectory, base: PathOpen, inherit: FDRead})
	g.open(asked{fd: dir, path: "a/b/file", base: FDRead})
	g.expect(ESUCCESS, "fd_close", dir+1)
	g.expect(ESUCCESS, "fd_close", dir)
	if kept := openDescriptors(t) - before; kept != 0 {
		t.Errorf("%d directories are open", kept)
	}
}

// TestWaysAreGivenUpWhenWhatIsAboveChanges: where a way leads is the same, but not what
// is above.
func TestWaysAreGivenUpWhenWhatIsAboveChanges(t *testing.T) {
	t.Parallel()
	eachWalk(t, func(t *testing.T, by resolution) {
		for _, remembered := range []string{"x/y", "way/y", "x/./y", "z/../x/y", "x/y/deep/.."} {
			t.Run(remembered, func(t *testing.T) {
				g := newCage(t, by, "x/y/file", "x/y/deep/", "x/y/deeper/link -> ../../beside", "x/beside", "x/y/link -> ../beside", "way -> x", "z/")
				read := func(fd uint64, path string) string {
					t.Helper()
					return g.readFile(g.open(asked{fd: fd, path: path, base: FDRead}))
				}
				for range 2 {
					if got := read(0, remembered+"/link"); got != "x/beside" {
						t.Fatalf("it is %q", got)
					}
				}
				must(t, os.Rename(filepath.Join(g.dir, "x"), filepath.Join(g.dir, "old")))
				populate(t, g.dir, "x/")
				must(t, os.WriteFile(filepath.Join(g.dir, "x/beside"), []byte("new"), 0o644))
				must(t, os.Rename(filepath.Join(g.dir, "old/y"), filepath.Join(g.dir, "x/y")))
				dir := g.open(asked{path: remembered + "/deeper", oflags: oDirectory, base: PathOpen, inherit: FDRead})
				if got := read(dir, "link"); got != "new" {
					t.Errorf("from a directory that was opened it is %q", got)
				}
				for range 2 {
					if got := read(0, remembered+"/link"); got != "new" {
						t.Errorf("it is %q", got)
					}
				}
			})
		}
	})
}
