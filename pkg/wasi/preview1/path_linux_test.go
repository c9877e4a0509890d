package preview1

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// twins are two equal directories: a guest has one, and the other is for the system
// calls that its functions resemble.
type twins struct {
	*tree
	t           testing.TB
	dir         string
	native      int
	nativeDir   string
	description string
}

var twinFiles = []string{"file", "dir/", "full/x", "flink -> file", "dlink -> dir", "dangling -> nowhere", "loop -> loop", "full/y -> ../file", "fulllink -> full/"}

func newTwins(t testing.TB, confined bool) *twins {
	t.Helper()
	w := &twins{t: t, dir: t.TempDir(), nativeDir: t.TempDir()}
	w.tree = &tree{newRig(t, Config{Preopens: []Preopen{{FD: openDirectory(t, w.dir), Name: "/", Confined: confined}}}), w.dir}
	w.native = openDirectory(t, w.nativeDir)
	t.Cleanup(func() { unix.Close(w.native) })
	w.fill()
	return w
}

// fill makes both what they were at the beginning.
func (w *twins) fill() {
	w.t.Helper()
	for _, dir := range []string{w.dir, w.nativeDir} {
		empty(w.t, dir)
		populate(w.t, dir, twinFiles...)
		must(w.t, unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
		must(w.t, unix.Mknod(filepath.Join(dir, "socket"), unix.S_IFSOCK|0o600, 0))
	}
	w.description = describe(w.t, w.dir)
	if other := describe(w.t, w.nativeDir); other != w.description {
		w.t.Fatalf("the twins differ:\n%s\n%s", w.description, other)
	}
}

// describe says all that a system call could have changed.
func describe(t testing.TB, dir string) string {
	t.Helper()
	var b strings.Builder
	must(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		must(t, unix.Lstat(path, &st))
		fmt.Fprintf(&b, "%s %o %d", strings.TrimPrefix(path, dir), st.Mode, st.Nlink)
		switch {
		case e.Type().IsRegular():
			data, err := os.ReadFile(path)
			must(t, err)
			fmt.Fprintf(&b, " %q", data)
		case e.Type()&fs.ModeSymlink != 0:
			text, err := os.Readlink(path)
			must(t, err)
			fmt.Fprintf(&b, " -> %s", text)
		}
		if st.Mtim.Sec < 1000 {
			fmt.Fprintf(&b, " %d %d", st.Atim.Nano(), st.Mtim.Nano())
		}
		b.WriteByte('\n')
		return nil
	}))
	return b.String()
}

// same looks whether both said the same.
func (w *twins) same(what string, got Errno, err error) {
	w.t.Helper()
	w.forget()
	if got != errnoOf(err) {
		w.t.Errorf("%s: errno %d, where Linux says %v", what, got, err)
	}
}

// compare looks whether both also did the same.
func (w *twins) compare(what string, got Errno, err error) {
	w.t.Helper()
	w.same(what, got, err)
	if got != ESUCCESS && err != nil {
		return
	}
	guest, native := describe(w.t, w.dir), describe(w.t, w.nativeDir)
	if guest != native {
		w.t.Errorf("%s made\n%s\nwhere Linux makes\n%s", what, guest, native)
	}
	if guest != w.description {
		w.fill()
	}
}

var twinPaths = []string{
	"file", "file/", "file/x", "./file", "dir", "dir/", "dir//", "dir/.", "dir/..", "dir/../file", "full", "full/", "full/x", "full/x/", "full/y", "full/../full",
	"flink", "flink/", "flink/x", "dlink", "dlink/", "dlink/.", "dlink/..", "dlink/../file", "dlink/new", "dangling", "dangling/", "dangling/x", "loop", "loop/", "loop/x",
	"fulllink", "fulllink/", "fulllink/x", "nothing", "nothing/", "nothing/x", "nothing/..", "dir/new", "dir/new/", "fifo", "fifo/", "socket", ".", "./", "./.",
	strings.Repeat("n", 255), strings.Repeat("n", 256), "dir/" + strings.Repeat("n", 300) + "/x",
}

func eachResolution(t *testing.T, test func(t *testing.T, confined bool)) {
	for name, confined := range resolutions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, confined)
		})
	}
}

func TestPathsDoAsLinux(t *testing.T) {
	t.Parallel()
	eachResolution(t, func(t *testing.T, confined bool) {
		w := newTwins(t, confined)
		for _, path := range twinPaths {
			w.compare("mkdir "+path, w.onPath("path_create_directory", preopen, path), unix.Mkdirat(w.native, path, 0o777))
			w.compare("rmdir "+path, w.onPath("path_remove_directory", preopen, path), unix.Unlinkat(w.native, path, unix.AT_REMOVEDIR))
			w.compare("unlink "+path, w.onPath("path_unlink_file", preopen, path), unix.Unlinkat(w.native, path, 0))
			at, size := w.put([]byte("/a b")), uint64(4)
			to, toSize := w.path(path)
			w.compare("symlink "+path, w.call("path_symlink", at, size, preopen, to, toSize), unix.Symlinkat("/a b", w.native, path))
			w.readlink(path)
			for _, follow := range []uint64{0, lookupFollow} {
				flags := unix.AT_SYMLINK_NOFOLLOW
				if follow != 0 {
					flags = 0
				}
				var st unix.Stat_t
				err := unix.Fstatat(w.native, path, &st, flags)
				got, e := w.stat(path, follow)
				w.same(fmt.Sprintf("stat %s, %d", path, follow), e, err)
				if e == ESUCCESS && (Filetype(got.kind) != filetypeOf(st.Mode) || got.size != uint64(st.Size) || got.nlink != uint64(st.Nlink) || got.dev != uint64(st.Dev)) {
					t.Errorf("stat %s, %d: %+v, where Linux says %+v", path, follow, got, st)
				}
				to, toSize := w.path(path)
				times := []unix.Timespec{unix.NsecToTimespec(5_000_000_007), unix.NsecToTimespec(6_000_000_008)}
				w.compare(fmt.Sprintf("utimes %s, %d", path, follow),
					w.call("path_filestat_set_times", preopen, follow, to, toSize, 5_000_000_007, 6_000_000_008, setAtim|setMtim), unix.UtimesNanoAt(w.native, path, times, flags))
			}
		}
	})
}

func (w *twins) readlink(path string) {
	w.t.Helper()
	at, size := w.path(path)
	buffer, used := w.room(8), w.room(4)
	var want [8]byte
	n, err := unix.Readlinkat(w.native, path, want[:])
	e := w.call("path_readlink", preopen, at, size, buffer, 8, used)
	if e == ESUCCESS && err == nil && string(w.read(buffer, int(w.u32(used)))) != string(want[:n]) {
		w.t.Errorf("readlink %s: %q, want %q", path, w.read(buffer, int(w.u32(used))), want[:n])
	}
	w.same("readlink "+path, e, err)
}

func TestTwoPathsDoAsLinux(t *testing.T) {
	t.Parallel()
	eachResolution(t, func(t *testing.T, confined bool) {
		w := newTwins(t, confined)
		for i, from := range twinPaths {
			for j, to := range twinPaths {
				if os.Getenv(racesEnv) == "" && (i+j)%5 != 0 { // a part of them, for speed
					continue
				}
				a, aSize := w.path(from)
				b, bSize := w.path(to)
				w.compare("rename "+from+" "+to, w.call("path_rename", preopen, a, aSize, preopen, b, bSize), unix.Renameat(w.native, from, w.native, to))
				for _, follow := range []uint64{0, lookupFollow} {
					a, aSize := w.path(from)
					b, bSize := w.path(to)
					flags := 0
					if follow != 0 {
						flags = unix.AT_SYMLINK_FOLLOW
					}
					w.compare(fmt.Sprintf("link %s %s, %d", from, to, follow), w.call("path_link", preopen, follow, a, aSize, preopen, b, bSize),
						unix.Linkat(w.native, from, w.native, to, flags))
				}
			}
		}
	})
}

func TestOpeningDoesAsLinux(t *testing.T) {
	t.Parallel()
	eachResolution(t, func(t *testing.T, confined bool) {
		w := newTwins(t, confined)
		for _, path := range twinPaths {
			for o := range allOflags + 1 {
				if o&oCreat != 0 && o&oDirectory != 0 || o&oExcl != 0 && o&oCreat == 0 {
					continue
				}
				for _, base := range []Rights{0, FDRead, FDWrite, FDRead | FDWrite} {
					for _, nofollow := range []bool{false, true} {
						w.openBoth(asked{path: path, nofollow: nofollow, oflags: o, base: base, fdflags: Nonblock})
					}
				}
			}
		}
	})
}

func (w *twins) openBoth(a asked) {
	w.t.Helper()
	flags := opening{oflags: a.oflags, base: a.base, fdflags: a.fdflags}.flags() | unix.O_CLOEXEC
	if a.nofollow {
		flags |= unix.O_NOFOLLOW
	}
	native, err := unix.Openat(w.native, a.path, flags, 0o666)
	fd, e := w.tryOpen(a)
	if err == nil && e == ESUCCESS {
		var st unix.Stat_t
		must(w.t, unix.Fstat(native, &st))
		at := w.room(24)
		w.expect(ESUCCESS, "fd_fdstat_get", fd, at)
		if kind := Filetype(w.read(at, 1)[0]); kind != filetypeOf(st.Mode) {
			w.t.Errorf("open %+v is a %d, want %d", a, kind, filetypeOf(st.Mode))
		}
	}
	if err == nil {
		unix.Close(native)
	}
	if e == ESUCCESS {
		w.expect(ESUCCESS, "fd_close", fd)
	}
	if a.oflags&(oCreat|oTrunc) != 0 {
		w.compare(fmt.Sprintf("open %+v", a), e, err)
	} else {
		w.same(fmt.Sprintf("open %+v", a), e, err)
	}
}
