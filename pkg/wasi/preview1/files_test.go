package preview1

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// tree is a directory of the host that a guest finds open as 3.
type tree struct {
	*rig
	dir string
}

const preopen = 3

// The ways to resolve paths.
var resolutions = map[string]bool{"walk": false, "kernel": true}

// newTree makes a directory with these files: a name that ends in a slash is a
// directory, one with an arrow a symbolic link, others are files with their name as
// the content.
func newTree(t testing.TB, files ...string) *tree {
	t.Helper()
	dir := t.TempDir()
	populate(t, dir, files...)
	return &tree{newRig(t, Config{Preopens: []Preopen{{FD: openDirectory(t, dir), Name: "/"}}}), dir}
}

func populate(t testing.TB, dir string, files ...string) {
	t.Helper()
	for _, name := range files {
		path := filepath.Join(dir, name)
		link, text, _ := strings.Cut(name, " -> ")
		switch {
		case text != "":
			must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, link)), 0o755))
			must(t, os.Symlink(text, filepath.Join(dir, link)))
		case name[len(name)-1] == '/':
			must(t, os.MkdirAll(path, 0o755))
		default:
			must(t, os.MkdirAll(filepath.Dir(path), 0o755))
			must(t, os.WriteFile(path, []byte(name), 0o644))
		}
	}
}

func openDirectory(t testing.TB, path string) int {
	t.Helper()
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(t, err)
	return fd
}

// path is a path as two arguments.
func (r *rig) path(s string) (at, size uint64) { return r.put([]byte(s)), uint64(len(s)) }

// onPath calls a function that takes a directory, a path and more.
func (r *rig) onPath(name string, fd uint64, path string, more ...uint64) Errno {
	r.t.Helper()
	at, size := r.path(path)
	return r.call(name, append([]uint64{fd, at, size}, more...)...)
}

func (r *rig) stat(path string, follow uint64) (filestat, Errno) {
	r.t.Helper()
	at, size := r.path(path)
	out := r.room(64)
	e := r.call("path_filestat_get", preopen, follow, at, size, out)
	return r.filestat(out), e
}

type filestat struct {
	dev, ino, kind, nlink, size, atim, mtim, ctim uint64
}

func (r *rig) filestat(at uint64) filestat {
	u := func(i int) uint64 { return binary.LittleEndian.Uint64(r.read(at+uint64(8*i), 8)) }
	return filestat{u(0), u(1), u(2), u(3), u(4), u(5), u(6), u(7)}
}

// asked is how a test opens something.
type asked struct {
	fd            uint64 // 0 is the preopen
	path          string
	nofollow      bool
	oflags        oflags
	base, inherit Rights
	fdflags       Fdflags
}

func (r *rig) tryOpen(o asked) (uint64, Errno) {
	r.t.Helper()
	if o.fd == 0 {
		o.fd = preopen
	}
	follow := uint64(lookupFollow)
	if o.nofollow {
		follow = 0
	}
	at, size := r.path(o.path)
	out := r.room(4)
	e := r.call("path_open", o.fd, follow, at, size, uint64(o.oflags), uint64(o.base), uint64(o.inherit), uint64(o.fdflags), out)
	return uint64(r.u32(out)), e
}

// open opens a file, or fails the test.
func (r *rig) open(o asked) uint64 {
	r.t.Helper()
	fd, e := r.tryOpen(o)
	if e != ESUCCESS {
		r.t.Fatalf("open %+v: errno %d", o, e)
	}
	return fd
}

// readFile is what can be read at the position of a descriptor.
func (r *rig) readFile(fd uint64) string {
	r.t.Helper()
	iovs, buffers := r.vectors(4096)
	out := r.room(4)
	r.expect(ESUCCESS, "fd_read", fd, iovs, 1, out)
	return string(r.read(buffers[0], int(r.u32(out))))
}

// forget frees the memory that a test has used in the guest.
func (r *rig) forget() { r.used = 64 }

func TestSmoke(t *testing.T) {
	t.Parallel()
	g := newTree(t, "a/b/c", "l -> a/b", "abs -> /a/b/c", "out -> ../../../../../../etc/passwd", "up -> a/../a/b/./c")
	for _, path := range []string{"a/b/c", "l/c", "abs", "up", "a/../l/../b/c", "./a//b/c"} {
		fd := g.open(asked{path: path, base: FDRead})
		if got := g.readFile(fd); got != "a/b/c" {
			t.Errorf("%s: %q", path, got)
		}
		g.expect(ESUCCESS, "fd_close", fd)
	}
	if _, e := g.tryOpen(asked{path: "out"}); e != ENOENT {
		t.Error(e)
	}
	fd := g.open(asked{path: "new", oflags: oCreat, base: FDRead | FDWrite | FDSeek | FDTell})
	out := g.room(4)
	g.expect(ESUCCESS, "fd_write", fd, g.texts("hel", "lo"), 2, out)
	g.expect(ESUCCESS, "fd_seek", fd, 0, whenceSet, g.room(8))
	if got := g.readFile(fd); got != "hello" {
		t.Error(got)
	}
	dir := g.open(asked{path: "a", oflags: oDirectory, base: FDReaddir | PathOpen, inherit: FDRead})
	buffer := g.room(4096)
	g.expect(ESUCCESS, "fd_readdir", dir, buffer, 4096, 0, out)
	if used := g.u32(out); used != 3*24+1+2+1 {
		t.Error(used)
	}
}
