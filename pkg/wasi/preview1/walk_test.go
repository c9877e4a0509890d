package preview1

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// outsideText is what no guest may read.
const outsideText = "what is outside"

// resolution is who finds out where a path leads.
type resolution int

const (
	// walking is for roots other than the process's.
	walking resolution = iota
	// asking is for the process's own root with a procfs somewhere: the walk also asks
	// the kernel where paths lead. In tests that is not the root, so that the kernel's
	// answers lead anywhere: even so nothing must come of it.
	asking
	// confined is for the process's own root: the kernel alone.
	confined
)

// newCage is a tree whose directory has something beside it that guests must not
// reach: the directory "secret" with a file "secret", and a file "victim".
func newCage(t testing.TB, by resolution, files ...string) *tree {
	t.Helper()
	base := t.TempDir()
	must(t, os.Mkdir(filepath.Join(base, "root"), 0o755))
	populate(t, base, "secret/secret", "victim")
	must(t, os.WriteFile(filepath.Join(base, "secret/secret"), []byte(outsideText), 0o644))
	dir := filepath.Join(base, "root")
	populate(t, dir, files...)
	if by == confined {
		within, root := newChamber(t, dir)
		g := &tree{newRig(t, Config{Preopens: []Preopen{{FD: root, Name: "/", Confined: true}}}), dir}
		g.within = within
		return g
	}
	g := &tree{newRig(t, Config{Preopens: []Preopen{{FD: openDirectory(t, dir), Name: "/"}}}), dir}
	g.system.files.slots[preopen].directory.root.own = by == asking
	return g
}

func eachWalk(t *testing.T, test func(t *testing.T, by resolution)) {
	for by, name := range map[resolution]string{walking: "other root", asking: "own root", confined: "kernel"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, by)
		})
	}
}

func TestPathsLeadWhereTheyWouldInAContainer(t *testing.T) {
	t.Parallel()
	eachWalk(t, func(t *testing.T, by resolution) {
		g := newCage(t, by, "a/b/file", "etc/passwd", "secret/inside",
			"rel -> a/b", "abs -> /a/b", "up -> ../../../../etc", "twice -> rel/../b", "chain -> abs", "a/b/top -> ../../..",
			"self -> self", "ping -> pong", "pong -> ping", "dangling -> /nowhere", "slash -> a/b/", "toroot -> /", "dot -> .",
			"filelink -> a/b/file", "fileslash -> a/b/file/", "deep -> "+strings.Repeat("dot/", 39)+"etc", "deeper -> "+strings.Repeat("dot/", 40)+"etc",
			"a/b/up1 -> ../file2", "a/file2", "secretlink -> ../secret/secret", "abssecret -> "+filepath.Dir(t.TempDir()))
		for _, tc := range []struct {
			path string
			want string // the content
			e    Errno
		}{
			{path: "a/b/file", want: "a/b/file"},
			{path: "./a/./b/../b//file", want: "a/b/file"},
			{path: "rel/file", want: "a/b/file"},
			{path: "abs/file", want: "a/b/file"},
			{path: "chain/file", want: "a/b/file"},
			{path: "twice/file", want: "a/b/file"},
			{path: "slash/file", want: "a/b/file"},
			{path: "filelink", want: "a/b/file"},
			{path: "rel/../file2", want: "a/file2"}, // of what the link leads to
			{path: "a/b/up1", want: "a/file2"},
			{path: "up/passwd", want: "etc/passwd"}, // the root is above itself
			{path: "toroot/etc/passwd", want: "etc/passwd"},
			{path: "a/b/top/etc/passwd", want: "etc/passwd"},
			{path: "toroot/toroot/dot/dot/etc/passwd", want: "etc/passwd"},
			{path: "deep/passwd", want: "etc/passwd"}, // itself is the 40th
			{path: "deeper/passwd", e: ELOOP},
			{path: "secretlink", e: ENOENT}, // /secret/secret in the root
			{path: "abssecret", e: ENOENT},
			{path: "", e: ENOENT},
			{path: "/", e: ENOTCAPABLE},
			{path: "/a/b/file", e: ENOTCAPABLE},
			{path: "..", e: ENOTCAPABLE},
			{path: "../root/a/b/file", e: ENOTCAPABLE},
			{path: "a/../../root/a/b/file", e: ENOTCAPABLE},
			{path: "a/b/../../..", e: ENOTCAPABLE},
			{path: "rel/../../..", e: ENOTCAPABLE},
			{path: "nothing/../a/b/file", e: ENOENT},
			{path: "a/b/file/", e: ENOTDIR},
			{path: "a/b/file/.", e: ENOTDIR},
			{path: "a/b/file/..", e: ENOTDIR},
			{path: "a/b/file/x", e: ENOTDIR},
			{path: "filelink/", e: ENOTDIR},
			{path: "fileslash", e: ENOTDIR},
			{path: "self", e: ELOOP},
			{path: "self/x", e: ELOOP},
			{path: "ping", e: ELOOP},
			{path: "dangling", e: ENOENT},
			{path: "dangling/x", e: ENOENT},
			{path: strings.Repeat("x", 256), e: ENAMETOOLONG},
			{path: strings.Repeat("a/../", 900) + "a/b/file", e: ENAMETOOLONG},
			{path: strings.Repeat("a/../", 800) + "a/b/file", want: "a/b/file"},
			{path: "a/b\x00/file", e: EILSEQ},
			{path: "a/b/\xff\xfe", e: ENOENT},
		} {
			g.forget()
			fd, e := g.tryOpen(asked{path: tc.path, base: FDRead})
			if e != tc.e {
				t.Errorf("open %q: errno %d, want %d", tc.path, e, tc.e)
			}
			st, e := g.stat(tc.path, lookupFollow)
			if e != tc.e {
				t.Errorf("stat %q: errno %d, want %d", tc.path, e, tc.e)
			}
			if tc.e != ESUCCESS {
				continue
			}
			if got := g.readFile(fd); got != tc.want || st.size != uint64(len(tc.want)) {
				t.Errorf("%q contains %q, want %q", tc.path, got, tc.want)
			}
			g.expect(ESUCCESS, "fd_close", fd)
		}
	})
}

// TestWalkResolvesAsTheKernel compares with openat2(2) and RESOLVE_IN_ROOT, which
// knows nothing of links of our own.
func TestWalkResolvesAsTheKernel(t *testing.T) {
	t.Parallel()
	eachWalk(t, func(t *testing.T, by resolution) {
		g := newCage(t, by, "a/b/file", "a/c/", "file", "l1 -> a", "l2 -> l1/b", "l3 -> /l2/../c", "l4 -> ../../file", "a/l5 -> ..", "a/l6 -> b/file", "l7 -> /",
			"l8 -> l7/a/l5/l2/", "loop -> loop/x", "l9 -> file/", "a/b/l10 -> ../l5/l1/l6")
		root := openDirectory(t, g.dir)
		defer unix.Close(root)
		names := []string{"a", "b", "c", "file", "l1", "l2", "l3", "l4", "l5", "l6", "l7", "l8", "l9", "l10", "loop", ".", "..", "", "nothing"}
		var paths []string
		for _, x := range names {
			for _, y := range names {
				for _, z := range []string{"", "a", "b", "file", "l5", "l6", "l10", "..", "."} {
					paths = append(paths, x+"/"+y+"/"+z, x+"/"+y)
				}
			}
		}
		compared := 0
		for _, path := range paths {
			if path == "" || path[0] == '/' || inside(path) != ESUCCESS {
				continue
			}
			g.forget()
			var want unix.Stat_t
			how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT}
			fd, err := unix.Openat2(root, path, &how)
			for err == unix.EAGAIN { // others rename something somewhere
				fd, err = unix.Openat2(root, path, &how)
			}
			if err == nil {
				must(t, unix.Fstat(fd, &want))
				unix.Close(fd)
			}
			got, e := g.stat(path, lookupFollow)
			if e != errnoOf(err) || e == ESUCCESS && got.ino != want.Ino {
				t.Errorf("%q: errno %d, inode %d; by the kernel %v, inode %d", path, e, got.ino, err, want.Ino)
			}
			compared++
		}
		if compared < 1000 {
			t.Errorf("only %d paths were compared", compared)
		}
	})
}

func TestDirectoriesKnowWhatIsAboveThem(t *testing.T) {
	t.Parallel()
	eachWalk(t, func(t *testing.T, by resolution) {
		g := newCage(t, by, "a/b/c/file", "a/b/link -> ../../top", "top", "a/b/away -> ../../../../victim", "a/b/c/abs -> /top")
		dir := g.open(asked{path: "a/b", oflags: oDirectory, base: PathOpen | FDReaddir, inherit: FDRead | PathOpen | FDReaddir})
		inner := g.open(asked{fd: dir, path: "c", oflags: oDirectory, base: PathOpen, inherit: FDRead})
		g.expect(ESUCCESS, "fd_close", preopen)
		for _, tc := range []struct {
			fd   uint64
			path string
			want string
			e    Errno
		}{
			{fd: dir, path: "link", want: "top"},
			{fd: inner, path: "abs", want: "top"},
			{fd: dir, path: "away", e: ENOENT},
			{fd: dir, path: "../b/c/file", e: ENOTCAPABLE},
			{fd: dir, path: "c/../c/file", want: "a/b/c/file"},
			{fd: inner, path: "./file", want: "a/b/c/file"},
		} {
			fd, e := g.tryOpen(asked{fd: tc.fd, path: tc.path, base: FDRead})
			if e != tc.e {
				t.Errorf("%q: errno %d, want %d", tc.path, e, tc.e)
			} else if e == ESUCCESS && g.readFile(fd) != tc.want {
				t.Errorf("%q: not %q", tc.path, tc.want)
			}
		}
		above := func() (inode uint64) {
			for _, e := range g.list(dir, 4096) {
				if e.name == ".." {
					return e.ino
				}
			}
			return 0
		}
		var st unix.Stat_t
		must(t, unix.Stat(filepath.Join(g.dir, "a"), &st))
		if got := above(); got != st.Ino {
			t.Errorf("above is %d, want %d", got, st.Ino)
		}
		// Whoever moves an open directory out of the root does not take what is there in.
		must(t, os.Rename(filepath.Join(g.dir, "a/b"), filepath.Join(g.dir, "../secret/b")))
		must(t, os.Symlink("../secret", filepath.Join(g.dir, "../secret/b/beside")))
		must(t, os.Symlink("..", filepath.Join(g.dir, "../secret/b/above")))
		must(t, unix.Stat(filepath.Join(g.dir, "../secret"), &st))
		if got := above(); got == st.Ino || got == 0 {
			t.Errorf("above is %d, where %d is outside", got, st.Ino)
		}
		for _, path := range []string{"beside", "above/secret", "above/above", "link/x"} {
			if fd, e := g.tryOpen(asked{fd: dir, path: path, base: FDRead}); e == ESUCCESS {
				t.Errorf("%q leads out: %q", path, g.readFile(fd))
			}
		}
	})
}

func TestNothingOutsideIsChanged(t *testing.T) {
	t.Parallel()
	eachWalk(t, func(t *testing.T, by resolution) {
		g := newCage(t, by, "file", "dir/", "victim -> ../victim", "secret -> ../secret", "new -> ../new", "absolute -> /../../../victim")
		outside := filepath.Dir(g.dir)
		before := listTree(t, outside, g.dir)
		rights := uint64(allRights)
		for _, at := range []string{"victim", "secret", "secret/secret", "new", "absolute", "../victim", "dir/../../victim", "victim/", "secret/", "secret/..", "new/", "secret/new"} {
			for _, follow := range []uint64{0, lookupFollow} {
				g.forget()
				path, size := g.path(at)
				other, otherSize := g.path("file")
				out := g.room(64)
				for _, flags := range []oflags{0, oCreat, oTrunc, oCreat | oExcl, oDirectory} {
					for _, base := range []Rights{FDRead, FDRead | FDWrite} {
						if g.call("path_open", preopen, follow, path, size, uint64(flags), uint64(base), rights, 0, out) == ESUCCESS {
							g.expect(ESUCCESS, "fd_close", uint64(g.u32(out)))
						}
					}
				}
				g.call("path_filestat_set_times", preopen, follow, path, size, 1, 1, setAtim|setMtim)
				g.call("path_link", preopen, follow, path, size, preopen, g.put([]byte("linked")), 6)
				g.call("path_link", preopen, follow, other, otherSize, preopen, path, size)
				g.call("path_rename", preopen, path, size, preopen, g.put([]byte("renamed")), 7)
				g.call("path_rename", preopen, g.put([]byte("renamed")), 7, preopen, path, size)
				g.call("path_rename", preopen, other, otherSize, preopen, path, size)
				g.call("path_symlink", other, otherSize, preopen, path, size)
				g.call("path_create_directory", preopen, path, size)
				g.call("path_remove_directory", preopen, path, size)
				g.call("path_unlink_file", preopen, path, size)
				empty(t, g.dir)
				populate(t, g.dir, "file", "dir/", "victim -> ../victim", "secret -> ../secret", "new -> ../new", "absolute -> /../../../victim")
			}
		}
		if after := listTree(t, outside, g.dir); after != before {
			t.Errorf("outside was\n%s\nand is\n%s", before, after)
		}
	})
}

// empty removes what is in a directory.
func empty(t testing.TB, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		must(t, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
}

// listTree is what is in a directory, with times and contents, but for what is in
// except.
func listTree(t testing.TB, dir, except string) string {
	t.Helper()
	var b strings.Builder
	must(t, filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		switch {
		case err != nil:
			return err
		case path == except:
			return filepath.SkipDir
		case path == dir: // its times change with except
			return nil
		}
		st := info.Sys().(*syscall.Stat_t)
		b.WriteString(path + " " + info.Mode().String() + " " + info.ModTime().Format(time.RFC3339Nano) + " " + time.Duration(st.Nlink).String())
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			b.Write(data)
		}
		b.WriteByte('\n')
		return nil
	}))
	return b.String()
}

func TestMagicLinksAreNotFollowed(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{Preopens: []Preopen{{FD: openDirectory(t, "/"), Name: "/"}}})
	for _, path := range []string{"proc/self/exe", "proc/self/root/etc/passwd", "proc/self/cwd/.", "proc/self/fd/3/etc/passwd", "proc/self/ns/mnt",
		"proc/thread-self/root", "proc/1/root/etc", "proc/self/task/../root/etc", "proc/self/fd/99", "dev/fd/98"} {
		r.forget()
		if _, e := r.tryOpen(asked{path: path, base: FDRead}); e != ELOOP && e != ENOENT && e != EACCES {
			t.Errorf("open %s: errno %d", path, e)
		}
		if _, e := r.stat(path, lookupFollow); e != ELOOP && e != ENOENT && e != EACCES {
			t.Errorf("stat %s: errno %d", path, e)
		}
	}
	for _, path := range []string{"proc/self/status", "proc/self/fd", "etc/mtab", "proc/net/dev"} {
		if _, err := os.Stat("/" + path); err != nil {
			t.Logf("%s is not here: %v", path, err)
			continue
		}
		if _, e := r.tryOpen(asked{path: path, base: FDRead}); e != ESUCCESS {
			t.Errorf("open %s: errno %d", path, e)
		}
	}
	if os.Getuid() != 0 {
		return
	}
	for _, path := range []string{"proc/self/mem", "proc/thread-self/mem", "proc/self/task/../mem", "proc/self/../thread-self/./mem"} {
		if _, e := r.tryOpen(asked{path: path, base: FDRead}); e != EACCES {
			t.Errorf("open %s for reading: errno %d", path, e)
		}
	}
	for _, path := range []string{"proc/self/mem", "proc/thread-self/mem", "proc/self/oom_score_adj"} {
		if _, e := r.tryOpen(asked{path: path, base: FDRead | FDWrite}); e != EACCES {
			t.Errorf("open %s for writing: errno %d", path, e)
		}
	}
}

// TestMagicLinksOnTheWayAreNotFollowed: links of the guest's own that go on from those
// of a procfs, also beneath a root that is not the process's.
func TestMagicLinksOnTheWayAreNotFollowed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	populate(t, dir, "through -> /proc/self/fd/0/x", "root -> /proc/self/root/etc", "cwd -> /proc/self/cwd", "own -> /proc/self/fd/0")
	link := func(name string) string { return filepath.Join(dir, name)[1:] }
	r := newRig(t, Config{Preopens: []Preopen{{FD: openDirectory(t, "/"), Name: "/"}, {FD: openDirectory(t, "/proc"), Name: "/proc"}}})
	for path, want := range map[string]Errno{link("through"): ELOOP, link("root"): ELOOP, link("root") + "/passwd": ELOOP, link("cwd"): ELOOP, link("own"): ESUCCESS} {
		if _, e := r.tryOpen(asked{path: path, base: FDRead}); e != want {
			t.Errorf("open %s: errno %d, want %d", path, e, want)
		}
		if _, e := r.stat(path, lookupFollow); e != want {
			t.Errorf("stat %s: errno %d, want %d", path, e, want)
		}
	}
	for _, path := range []string{"self/fd/0/x", "self/root", "self/cwd/x", "self/exe", "thread-self/root/etc", "1/root", "self/ns/mnt"} {
		if _, e := r.tryOpen(asked{fd: preopen + 1, path: path, base: FDRead}); e != ELOOP && e != EACCES {
			t.Errorf("open %s in /proc: errno %d", path, e)
		}
	}
}

func TestStdioHasNamesInDev(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "out")
	fd, err := unix.Open(file, unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o644)
	must(t, err)
	r := newRig(t, Config{Stdio: [3]int{openFile(t, "/dev/null"), fd, openFile(t, "/dev/null")}, Preopens: []Preopen{{FD: openDirectory(t, "/"), Name: "/"}}})
	for _, path := range []string{"dev/stdout", "proc/self/fd/1", "dev/fd/1"} {
		out := r.open(asked{path: path, oflags: oTrunc | oCreat, base: FDWrite})
		r.expect(ESUCCESS, "fd_write", out, r.texts(path+"\n"), 1, r.room(4))
		r.expect(ESUCCESS, "fd_close", out)
		if st, e := r.stat(path, lookupFollow); e != ESUCCESS || Filetype(st.kind) != RegularFile {
			t.Errorf("stat %s: %+v, errno %d", path, st, e)
		}
	}
	data, err := os.ReadFile(file)
	must(t, err)
	if string(data) != "dev/stdout\nproc/self/fd/1\ndev/fd/1\n" {
		t.Errorf("stdout is %q", data)
	}
	if _, e := r.tryOpen(asked{path: "dev/stdin", base: FDWrite | FDRead}); e != EACCES && e != ESUCCESS {
		t.Error(e)
	}
}
