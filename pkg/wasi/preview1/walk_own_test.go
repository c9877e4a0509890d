package preview1

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// roomFiles are what a container has in a room, where there is no procfs, and what
// images bring along.
var roomFiles = []string{
	"dev/stdin -> /proc/self/fd/0", "dev/stdout -> /proc/self/fd/1", "dev/stderr -> /proc/self/fd/2", "dev/fd -> /proc/self/fd",
	"logs/app.log -> /dev/stdout", "logs/beside -> ../dev/./stdout", "logs/straight -> /proc//self/./fd/1", "logs/up -> ../../../proc/self/fd/1",
	"logs/chain -> chained", "logs/chained -> beside", "current -> logs", "fds -> /dev/fd", "me -> /proc/self", "process -> proc",
	"dangling -> /nowhere/1", "1/x", "deep/er -> proc/self/fd/1", "loop -> loop", "slash -> dev/stdout/", "dot -> dev/stdout/.", "beyond -> /proc/self/fd/99",
	"leading -> /proc/self/fd/01", "inside -> /proc/self/fd/1/x", "other -> /deep/proc/self/fd/1", "longer -> /xproc/self/fd/1",
}

// ownPaths lead to the guest's standard output.
var ownPaths = append([]string{
	"dev/stdout", "dev/fd/1", "dev/./fd//1", "proc/self/fd/1", "dev/../proc/self/fd/1", "logs/app.log", "logs/beside", "logs/straight", "logs/up", "logs/chain",
	"current/app.log", "current/../logs/chain", "fds/1",
}, throughDirectories...)

// throughDirectories do so by links to what is a directory if there is one.
var throughDirectories = []string{"me/fd/1", "process/self/fd/1"}

// room is a guest in one: descriptor 0 can be read, 1 and 2 can be written.
type room struct {
	*tree
	out, err string
}

func eachRoom(t *testing.T, test func(t *testing.T, g room)) {
	for name, confined := range map[string]bool{"own root": false, "kernel": true} {
		for place, files := range map[string][]string{"": nil, ", with a directory": {"proc/"}} {
			t.Run(name+place, func(t *testing.T) {
				t.Parallel()
				test(t, newRoom(t, Preopen{Confined: confined}, append(files, roomFiles...)...))
			})
		}
	}
}

func newRoom(t *testing.T, p Preopen, files ...string) room {
	t.Helper()
	dir, outside := t.TempDir(), t.TempDir()
	populate(t, dir, files...)
	within, root := newChamber(t, dir)
	p.FD, p.Name = root, "/"
	g := room{out: filepath.Join(outside, "out"), err: filepath.Join(outside, "err")}
	c := Config{Preopens: []Preopen{p}, Stdio: [3]int{openFile(t, os.DevNull)}}
	for i, path := range []string{g.out, g.err} {
		fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_APPEND|unix.O_CLOEXEC, 0o600)
		must(t, err)
		c.Stdio[1+i] = fd
	}
	g.tree = &tree{newRig(t, c), dir}
	g.within = within
	g.system.files.slots[preopen].directory.root.own = true // of the chamber
	return g
}

func (g room) wrote(path, want string) {
	g.t.Helper()
	data, err := os.ReadFile(path)
	must(g.t, err)
	if string(data) != want {
		g.t.Errorf("%s is %q, want %q", filepath.Base(path), data, want)
	}
	must(g.t, os.Truncate(path, 0))
}

func TestDescriptorsHaveNamesWithoutAProcfs(t *testing.T) {
	t.Parallel()
	eachRoom(t, func(t *testing.T, g room) {
		before := describe(t, g.dir)
		write := func(fd uint64, path string, flags oflags) {
			t.Helper()
			opened, e := g.tryOpen(asked{fd: fd, path: path, oflags: flags, base: FDWrite})
			if e != ESUCCESS {
				t.Errorf("open %s with %b: errno %d", path, flags, e)
				return
			}
			g.expect(ESUCCESS, "fd_write", opened, g.texts(path), 1, g.room(4))
			g.expect(ESUCCESS, "fd_close", opened)
		}
		for _, flags := range []oflags{0, oCreat, oCreat | oTrunc} {
			for _, path := range ownPaths {
				g.forget()
				write(0, path, flags)
				g.wrote(g.out, path)
				if st, e := g.stat(path, lookupFollow); e != ESUCCESS || Filetype(st.kind) != RegularFile {
					t.Errorf("stat %s: %+v, errno %d", path, st, e)
				}
			}
			write(0, "dev/stderr", flags)
			g.wrote(g.err, "dev/stderr")
			dir := g.open(asked{path: "dev", oflags: oDirectory, base: PathOpen | PathCreateFile | PathFilestatSetSize, inherit: FDWrite})
			write(dir, "stdout", flags)
			write(dir, "fd/1", flags)
			g.wrote(g.out, "stdoutfd/1")
			g.expect(ESUCCESS, "fd_close", dir)
		}
		in := g.open(asked{path: "dev/stdin", base: FDRead})
		if got := g.readFile(in); got != "" {
			t.Errorf("standard input is %q", got)
		}
		if after := describe(t, g.dir); after != before {
			t.Errorf("there was\n%s\nand is\n%s", before, after)
		}
		// A guest's own link.
		text, size := g.path("/proc/self/fd/2")
		at, length := g.path("mine")
		g.expect(ESUCCESS, "path_symlink", text, size, preopen, at, length)
		write(0, "mine", oCreat)
		g.wrote(g.err, "mine")
	})
}

func TestOnlyOwnDescriptorsHaveNames(t *testing.T) {
	t.Parallel()
	eachRoom(t, func(t *testing.T, g room) {
		for _, tc := range []struct {
			asked
			want Errno
		}{
			{asked{path: "dev/stdout", base: FDRead}, EACCES},
			{asked{path: "dev/stdout", base: FDRead | FDWrite}, EACCES},
			{asked{path: "dev/stdout", base: FDWrite, nofollow: true}, ELOOP},
			{asked{path: "dev/stdout", base: FDWrite, oflags: oCreat | oExcl}, EEXIST},
			{asked{path: "dev/stdout", oflags: oDirectory}, ENOTDIR},
			{asked{path: "dev/fd/3"}, ELOOP}, // a directory
			{asked{path: "dev/fd/1", base: FDWrite, nofollow: true}, ENOENT},
			{asked{path: "dev/fd/1", base: FDWrite, oflags: oCreat | oExcl}, ENOENT},
			{asked{path: "dev/fd/1/x"}, ENOENT},
			{asked{path: "dev/fd"}, ENOENT},
			{asked{path: "dev/fd/99"}, ENOENT},
			{asked{path: "dev/fd/01"}, ENOENT},
			{asked{path: "dev/fd/+1"}, ENOENT},
			{asked{path: "dev/fd/-1"}, ENOENT},
			{asked{path: "dev/fd/x"}, ENOENT},
			{asked{path: "dev/stdout/"}, ENOENT},
			{asked{path: "dev/stdout/."}, ENOENT},
			{asked{path: "slash"}, ENOENT},
			{asked{path: "dot"}, ENOENT},
			{asked{path: "proc/self/exe"}, ENOENT},
			{asked{path: "nothing"}, ENOENT},
			{asked{path: "2"}, ENOENT},
			{asked{path: "1/1"}, ENOENT},
			{asked{path: "dangling"}, ENOENT},
			{asked{path: "deep/er"}, ENOENT},
			{asked{path: "beyond"}, ENOENT},
			{asked{path: "leading"}, ENOENT},
			{asked{path: "inside"}, ENOENT},
			{asked{path: "other"}, ENOENT},
			{asked{path: "longer"}, ENOENT},
			{asked{path: "loop"}, ELOOP},
			{asked{path: "loop/1"}, ELOOP},
		} {
			if tc.base == 0 {
				tc.base = FDRead
			}
			if _, e := g.tryOpen(tc.asked); e != tc.want {
				t.Errorf("open %+v: errno %d, want %d", tc.asked, e, tc.want)
			}
		}
		// What is closed has no name any more, and gets no file.
		g.expect(ESUCCESS, "fd_close", 1)
		for _, path := range ownPaths {
			for _, flags := range []oflags{0, oCreat} {
				if _, e := g.tryOpen(asked{path: path, oflags: flags, base: FDWrite}); e != ENOENT {
					t.Errorf("open %s: errno %d", path, e)
				}
			}
		}
	})
}

// TestNothingIsMadeInTheProcfssPlace: an image may have what looks like one.
func TestNothingIsMadeInTheProcfssPlace(t *testing.T) {
	t.Parallel()
	eachRoom(t, func(t *testing.T, g room) {
		populate(t, g.dir, "proc/self/fd/")
		for _, path := range ownPaths[:len(ownPaths)-len(throughDirectories)] {
			g.forget()
			fd := g.open(asked{path: path, oflags: oCreat, base: FDWrite})
			g.expect(ESUCCESS, "fd_write", fd, g.texts(path), 1, g.room(4))
			g.expect(ESUCCESS, "fd_close", fd)
			g.wrote(g.out, path)
		}
		if entries, err := os.ReadDir(filepath.Join(g.dir, "proc/self/fd")); err != nil || len(entries) != 0 {
			t.Errorf("there is %v, %v", entries, err)
		}
		// It is a directory like others: what is there is what is opened.
		populate(t, g.dir, "proc/self/fd/0")
		for _, path := range []string{"dev/stdin", "dev/fd/0"} {
			if got := g.readFile(g.open(asked{path: path, base: FDRead})); got != "proc/self/fd/0" {
				t.Errorf("%s is %q", path, got)
			}
		}
	})
}

func TestDescriptorsHaveNamesInReadOnlyDirectories(t *testing.T) {
	t.Parallel()
	for name, confined := range map[string]bool{"own root": false, "kernel": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newRoom(t, Preopen{Confined: confined, ReadOnly: true}, roomFiles...)
			for _, path := range ownPaths {
				g.forget()
				fd := g.open(asked{path: path, oflags: oCreat, base: FDWrite})
				g.expect(ESUCCESS, "fd_write", fd, g.texts(path), 1, g.room(4))
				g.expect(ESUCCESS, "fd_close", fd)
				g.wrote(g.out, path)
			}
			for _, path := range []string{"new", "2", "dangling"} {
				if _, e := g.tryOpen(asked{path: path, oflags: oCreat, base: FDWrite}); e != EROFS {
					t.Errorf("%s: errno %d", path, e)
				}
			}
		})
	}
}

// TestOtherRootsHaveNoDescriptors: the guest's are those of the container.
func TestOtherRootsHaveNoDescriptors(t *testing.T) {
	t.Parallel()
	g := newCage(t, walking, roomFiles...)
	for _, path := range ownPaths {
		if _, e := g.tryOpen(asked{path: path, oflags: oCreat, base: FDWrite}); e != ENOENT {
			t.Errorf("%s: errno %d", path, e)
		}
	}
}

// TestNothingIsAskedForWhatIsMissing: what is not there is looked for all the time.
func TestNothingIsAskedForWhatIsMissing(t *testing.T) {
	t.Parallel()
	g := newRoom(t, Preopen{Confined: true}, roomFiles...)
	for path, want := range map[string]bool{"nothing": false, "logs/nothing": false, "nothing/else": false, "logs/16384": false, "logs/2": true, "dangling": true} {
		w, e := g.system.walk(g.system.files.slots[preopen], path)
		if e != ESUCCESS {
			t.Fatal(e)
		}
		g.within.do(func() { _, e = w.open(unix.O_RDONLY, true) })
		if e != ENOENT {
			t.Errorf("%s: errno %d", path, e)
		}
		if got := w.links > 0 || w.numbered(path); got != want {
			t.Errorf("%s would be asked for: %v", path, got)
		}
	}
}
