package preview1

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// racesEnv is how often a guest tries to be led out of its root while others change
// the tree; without it, as often as takes a moment.
const (
	racesEnv    = "WASI_RACES"
	racesAtOnce = 2000
)

// race runs what others do to the tree, again and again, while the guest tries.
func race(t *testing.T, others func() error, try func()) {
	t.Helper()
	n := racesAtOnce
	if text := os.Getenv(racesEnv); text != "" {
		var err error
		n, err = strconv.Atoi(text)
		must(t, err)
	}
	stop, done, started := make(chan struct{}), make(chan int), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		rounds := 0
		defer func() { done <- rounds }()
		for {
			if err := others(); err != nil {
				t.Error(err)
				close(started)
				return
			}
			if rounds++; rounds == 1 {
				close(started)
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	<-started
	defer func() {
		close(stop)
		if rounds := <-done; rounds < n/100 && !t.Failed() {
			t.Errorf("others did something %d times only, while the guest tried %d times", rounds, n)
		}
	}()
	for range n {
		try()
	}
}

// exchange swaps two entries at once.
func exchange(a, b string) error {
	return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
}

// outcome counts what tries came to: both have to happen for a race to be one.
type outcome struct{ in, refused int }

// attempt reads what a path leads to, which must be what is inside, and looks at its
// attributes.
func (g *tree) attempt(o *outcome, fd uint64, path string, inode uint64) {
	g.t.Helper()
	g.forget()
	file, e := g.tryOpen(asked{fd: fd, path: path, base: FDRead})
	if e != ESUCCESS {
		o.refused++
	} else {
		if got := g.readFile(file); got == outsideText {
			g.t.Fatalf("%s was outside", path)
		}
		g.expect(ESUCCESS, "fd_close", file)
		o.in++
	}
	at, size := g.path(path)
	out := g.room(64)
	if g.call("path_filestat_get", fd, lookupFollow, at, size, out) == ESUCCESS && g.filestat(out).ino == inode {
		g.t.Fatalf("%s was outside when it was looked at", path)
	}
}

// secretInode is that of what is outside.
func (g *tree) secretInode() uint64 {
	var st unix.Stat_t
	must(g.t, unix.Stat(filepath.Join(g.dir, "../secret/secret"), &st))
	return st.Ino
}

func TestRaceOfDirectoryAndLink(t *testing.T) {
	t.Parallel()
	eachWalk(t, func(t *testing.T, by resolution) {
		g := newCage(t, by, "dir/secret", "up -> ../secret", "deep/dir/secret")
		must(t, os.Symlink(filepath.Join(g.dir, "../secret"), filepath.Join(g.dir, "absolute")))
		must(t, os.Symlink("../../../secret", filepath.Join(g.dir, "deep/up")))
		var o outcome
		inode := g.secretInode()
		race(t, func() error {
			for _, link := range []string{"up", "absolute"} {
				for range 2 {
					if err := exchange(filepath.Join(g.dir, "dir"), filepath.Join(g.dir, link)); err != nil {
						return err
					}
				}
			}
			for range 2 {
				if err := exchange(filepath.Join(g.dir, "deep/dir"), filepath.Join(g.dir, "deep/up")); err != nil {
					return err
				}
			}
			return nil
		}, func() {
			g.attempt(&o, preopen, "dir/secret", inode)
			g.attempt(&o, preopen, "deep/../dir/../deep/dir/secret", inode)
		})
		g.raced(o)
	})
}

func TestRaceOfFileAndLink(t *testing.T) {
	t.Parallel()
	eachWalk(t, func(t *testing.T, by resolution) {
		g := newCage(t, by, "file", "up -> ../secret/secret")
		must(t, os.Symlink(filepath.Join(g.dir, "../secret/secret"), filepath.Join(g.dir, "absolute")))
		before := listTree(t, filepath.Dir(g.dir), g.dir)
		var o outcome
		inode := g.secretInode()
		race(t, func() error {
			for _, link := range []string{"up", "absolute"} {
				for range 2 {
					if err := exchange(filepath.Join(g.dir, "file"), filepath.Join(g.dir, link)); err != nil {
						return err
					}
				}
			}
			return nil
		}, func() {
			g.attempt(&o, preopen, "file", inode)
			g.forget()
			path, size := g.path("file")
			other, otherSize := g.path("linked")
			for _, follow := range []uint64{0, lookupFollow} {
				g.call("path_filestat_set_times", preopen, follow, path, size, 1, 1, setAtim|setMtim)
				if g.call("path_link", preopen, follow, path, size, preopen, other, otherSize) == ESUCCESS {
					if st, _ := g.stat("linked", 0); st.ino == inode {
						t.Fatal("what is outside has one more name")
					}
					g.expect(ESUCCESS, "path_unlink_file", preopen, other, otherSize)
				}
				if fd, e := g.tryOpen(asked{path: "file", nofollow: follow == 0, oflags: oTrunc, base: FDWrite}); e == ESUCCESS {
					g.expect(ESUCCESS, "fd_close", fd)
				}
			}
		})
		g.raced(o)
		if after := listTree(t, filepath.Dir(g.dir), g.dir); after != before {
			t.Errorf("outside was\n%s\nand is\n%s", before, after)
		}
	})
}

func TestRaceOfDirectoryThatMovesOut(t *testing.T) {
	t.Parallel()
	eachWalk(t, func(t *testing.T, by resolution) {
		g := newCage(t, by, "a/b/up -> ..", "a/b/upup -> ../..", "a/b/c/up -> ../..", "a/b/x", "a/secret", "secret")
		var o outcome
		inode := g.secretInode()
		dir := g.open(asked{path: "a/b", oflags: oDirectory, base: PathOpen | PathFilestatGet, inherit: FDRead | PathOpen | PathFilestatGet})
		inside, outside := filepath.Join(g.dir, "a/b"), filepath.Join(g.dir, "../secret/b")
		race(t, func() error {
			if err := os.Rename(inside, outside); err != nil {
				return err
			}
			return os.Rename(outside, inside)
		}, func() {
			for _, path := range []string{"a/b/up/secret", "a/b/upup/secret", "a/b/c/up/secret", "a/b/../secret"} {
				g.attempt(&o, preopen, path, inode)
			}
			for _, path := range []string{"up/secret", "upup/secret", "c/up/secret"} {
				g.attempt(&o, dir, path, inode)
			}
		})
		g.raced(o)
	})
}

// raced fails if the guest never met what others did, or always.
func (g *tree) raced(o outcome) {
	g.t.Helper()
	if o.in == 0 || o.refused == 0 {
		g.t.Errorf("that was no race: %+v", o)
	}
	g.t.Logf("%+v", o)
}
