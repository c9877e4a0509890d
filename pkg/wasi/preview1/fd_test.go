package preview1

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const readAndWrite = FDRead | FDWrite | FDSeek | FDTell | FDAdvise | FDAllocate | FDSync | FDDatasync | FDFilestatGet |
	FDFilestatSetSize | FDFilestatSetTimes | FDFdstatSetFlags

// newPiped is a guest whose 0 is the end of a pipe to read from, and 1 that of another to
// write to; the test has the others.
func newPiped(t *testing.T, files ...string) (g *tree, in, out *os.File) {
	t.Helper()
	var a, b [2]int
	must(t, unix.Pipe2(a[:], unix.O_CLOEXEC))
	must(t, unix.Pipe2(b[:], unix.O_CLOEXEC))
	in, out = os.NewFile(uintptr(a[1]), "in"), os.NewFile(uintptr(b[0]), "out")
	t.Cleanup(func() { in.Close(); out.Close() })
	dir := t.TempDir()
	populate(t, dir, files...)
	r := newRig(t, Config{Stdio: [3]int{a[0], b[1], openFile(t, os.DevNull)}, Preopens: []Preopen{{FD: openDirectory(t, dir), Name: "/"}}})
	return &tree{r, dir}, in, out
}

func (g *tree) content(name string) string {
	g.t.Helper()
	data, err := os.ReadFile(filepath.Join(g.dir, name))
	must(g.t, err)
	return string(data)
}

func TestReadAndWrite(t *testing.T) {
	t.Parallel()
	g, in, out := newPiped(t, "file", "dir/")
	n := g.room(8)
	fd := g.open(asked{path: "new", oflags: oCreat, base: readAndWrite})
	g.expect(ESUCCESS, "fd_write", fd, g.texts("one ", "", "two ", "three"), 4, n)
	if g.u32(n) != 13 || g.content("new") != "one two three" {
		t.Errorf("%d bytes: %q", g.u32(n), g.content("new"))
	}
	g.expect(ESUCCESS, "fd_pwrite", fd, g.texts("TWO"), 1, 4, n)
	g.expect(ESUCCESS, "fd_pwrite", fd, g.texts("T", "H"), 2, 8, n)
	if g.content("new") != "one TWO THree" {
		t.Errorf("%q", g.content("new"))
	}
	g.expect(ESUCCESS, "fd_tell", fd, n)
	if g.u32(n) != 13 {
		t.Errorf("the position is %d", g.u32(n))
	}
	iovs, buffers := g.vectors(3, 0, 100)
	g.expect(ESUCCESS, "fd_pread", fd, iovs, 3, 4, n)
	if got := string(g.read(buffers[0], 3)) + string(g.read(buffers[2], 6)); g.u32(n) != 9 || got != "TWO THree" {
		t.Errorf("%d bytes: %q", g.u32(n), got)
	}
	g.expect(ESUCCESS, "fd_read", fd, iovs, 3, n)
	if g.u32(n) != 0 {
		t.Errorf("%d bytes at the end", g.u32(n))
	}
	g.expect(ESUCCESS, "fd_read", fd, 0, 0, n)
	g.expect(ESUCCESS, "fd_write", fd, 0, 0, n)

	_, err := in.WriteString("from a pipe")
	must(t, err)
	g.expect(ESUCCESS, "fd_read", 0, iovs, 3, n)
	if g.u32(n) != 11 || string(g.read(buffers[2], 8)) != "m a pipe" {
		t.Errorf("%d bytes of %q", g.u32(n), g.read(buffers[2], 8))
	}
	g.expect(ESUCCESS, "fd_write", 1, g.texts("to ", "a pipe"), 2, n)
	buffer := make([]byte, 20)
	if n, err := out.Read(buffer); err != nil || string(buffer[:n]) != "to a pipe" {
		t.Errorf("%q, %v", buffer, err)
	}
	out.Close()
	g.expect(EPIPE, "fd_write", 1, g.texts("x"), 1, n)
	in.Close()
	g.expect(ESUCCESS, "fd_read", 0, iovs, 3, n)
	if g.u32(n) != 0 {
		t.Errorf("%d bytes of a closed pipe", g.u32(n))
	}
}

func TestReadAndWriteRefuse(t *testing.T) {
	t.Parallel()
	g, _, _ := newPiped(t, "file", "dir/")
	file := g.open(asked{path: "file", base: readAndWrite})
	reader := g.open(asked{path: "file", base: FDRead | FDSeek})
	writer := g.open(asked{path: "file", base: FDWrite | FDSeek})
	dir := g.open(asked{path: "dir", oflags: oDirectory, base: rightsOfDirectory})
	iovs, n := g.texts("text"), g.room(4)
	bad := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, outside), 100)
	badIovs := g.put(bad)
	for _, name := range []string{"fd_read", "fd_write", "fd_pread", "fd_pwrite"} {
		at := strings.HasPrefix(name, "fd_p")
		writes := strings.HasSuffix(name, "write")
		call := func(want Errno, fd, iovs, count, n uint64) {
			t.Helper()
			if at {
				g.expect(want, name, fd, iovs, count, 0, n)
			} else {
				g.expect(want, name, fd, iovs, count, n)
			}
		}
		call(EBADF, 99, iovs, 1, n)
		call(EISDIR, dir, iovs, 1, n)
		call(EISDIR, preopen, iovs, 1, n)
		call(EFAULT, file, outside, 1, n)
		call(EFAULT, file, iovs, 1<<31, n)
		call(EFAULT, file, iovs, 1<<29, n) // 8 times that is 2³²
		call(EFAULT, file, badIovs, 1, n)
		call(EFAULT, file, iovs, 1, outside)
		if writes {
			call(EBADF, reader, iovs, 1, n)
		} else {
			call(EBADF, writer, iovs, 1, n)
		}
		if at {
			call(ESPIPE, 0, iovs, 1, n)
			g.expect(EINVAL, name, file, iovs, 1, 1<<63, n)
		}
	}
	if got := g.content("file"); got != "file" {
		t.Errorf("what was refused made the file %q", got)
	}
}

func TestManyVectors(t *testing.T) {
	t.Parallel()
	g := newTree(t)
	fd := g.open(asked{path: "new", oflags: oCreat, base: readAndWrite})
	n := g.room(4)
	// As many as Linux takes are written, and no more than that.
	for _, count := range []int{maxVectors - 1, maxVectors, maxVectors + 1, 3 * maxVectors} {
		g.expect(ESUCCESS, "fd_filestat_set_size", fd, 0)
		g.expect(ESUCCESS, "fd_seek", fd, 0, whenceSet, g.room(8))
		var array []byte
		at := g.put([]byte("x"))
		for range count {
			array = binary.LittleEndian.AppendUint32(array, uint32(at))
			array = binary.LittleEndian.AppendUint32(array, 1)
		}
		g.expect(ESUCCESS, "fd_write", fd, g.put(array), uint64(count), n)
		if want := min(count, maxVectors); int(g.u32(n)) != want || len(g.content("new")) != want {
			t.Errorf("%d vectors: %d bytes, want %d", count, g.u32(n), want)
		}
	}
	// They may overlap each other, and what says where they are.
	at := g.room(16)
	var array []byte
	for range 2 {
		array = binary.LittleEndian.AppendUint32(array, uint32(at))
		array = binary.LittleEndian.AppendUint32(array, 16)
	}
	g.module.Memory().Write(uint32(at), array)
	g.expect(ESUCCESS, "fd_seek", fd, 0, whenceSet, g.room(8))
	g.expect(ESUCCESS, "fd_read", fd, at, 2, n)
	if g.u32(n) != 32 || string(g.read(at, 16)) != strings.Repeat("x", 16) {
		t.Errorf("%d bytes, %q", g.u32(n), g.read(at, 16))
	}
}

func TestDataAllocatesNothing(t *testing.T) {
	g := newTree(t, "file")
	fd := g.open(asked{path: "file", base: readAndWrite})
	iovs, n, attributes := g.texts("a", "b", "c"), g.room(8), g.room(64)
	// Through the engine there are a few, which are not of the functions.
	m := memory{Memory: g.module.Memory()}
	for name, call := range map[string]func() Errno{
		"fd_write":  func() Errno { return fdWrite(g.system, m, arguments{fd, iovs, 3, n}) },
		"fd_pwrite": func() Errno { return fdPwrite(g.system, m, arguments{fd, iovs, 1, 0, n}) },
		"fd_pread":  func() Errno { return fdPread(g.system, m, arguments{fd, iovs, 3, 0, n}) },
		"fd_read":   func() Errno { return fdRead(g.system, m, arguments{fd, iovs, 1, n}) },
		"fd_seek":   func() Errno { return fdSeek(g.system, m, arguments{fd, 0, whenceSet, n}) },
		"fd_filestat_get": func() Errno {
			return fdFilestatGet(g.system, m, arguments{fd, attributes})
		},
	} {
		allocated := testing.AllocsPerRun(100, func() {
			if e := call(); e != ESUCCESS {
				t.Fatalf("%s: errno %d", name, e)
			}
		})
		if allocated != 0 {
			t.Errorf("%s allocates %v times", name, allocated)
		}
	}
}

func TestSeekAndTell(t *testing.T) {
	t.Parallel()
	g, _, _ := newPiped(t, "file")
	fd := g.open(asked{path: "file", base: readAndWrite})
	at := g.room(8)
	for _, tc := range []struct {
		offset int64
		whence uint64
		want   Errno
		to     uint64
	}{
		{2, whenceSet, ESUCCESS, 2},
		{1, whenceCur, ESUCCESS, 3},
		{-2, whenceCur, ESUCCESS, 1},
		{-1, whenceEnd, ESUCCESS, 3},
		{1 << 40, whenceEnd, ESUCCESS, 1<<40 + 4},
		{-1, whenceSet, EINVAL, 0},
		{-5, whenceEnd, EINVAL, 0},
		{0, 3, EINVAL, 0},
		{0, 1 << 31, EINVAL, 0},
	} {
		g.expect(tc.want, "fd_seek", fd, uint64(tc.offset), tc.whence, at)
		if got := binary.LittleEndian.Uint64(g.read(at, 8)); tc.want == ESUCCESS && got != tc.to {
			t.Errorf("%+v: at %d", tc, got)
		}
	}
	g.expect(ESUCCESS, "fd_tell", fd, at)
	if got := binary.LittleEndian.Uint64(g.read(at, 8)); got != 1<<40+4 {
		t.Errorf("at %d", got)
	}
	for _, name := range []string{"fd_seek", "fd_tell"} {
		call := func(want Errno, fd, at uint64) {
			t.Helper()
			if name == "fd_seek" {
				g.expect(want, name, fd, 0, whenceCur, at)
			} else {
				g.expect(want, name, fd, at)
			}
		}
		call(EBADF, 99, at)
		call(ESPIPE, 0, at)
		call(EISDIR, preopen, at)
		call(EFAULT, fd, outside)
		call(ENOTCAPABLE, g.open(asked{path: "file", base: FDRead}), at)
	}
	// The right to seek includes that to tell, not the other way round.
	g.expect(ESUCCESS, "fd_tell", g.open(asked{path: "file", base: FDSeek}), at)
	g.expect(ENOTCAPABLE, "fd_seek", g.open(asked{path: "file", base: FDTell}), 0, whenceCur, at)
}

func TestSyncAdviseAllocate(t *testing.T) {
	t.Parallel()
	g, _, _ := newPiped(t, "file")
	fd := g.open(asked{path: "file", base: readAndWrite})
	reader := g.open(asked{path: "file", base: readAndWrite &^ (FDWrite | FDAllocate)})
	for _, name := range []string{"fd_sync", "fd_datasync"} {
		g.expect(ESUCCESS, name, fd)
		g.expect(ESUCCESS, name, preopen)
		g.expect(EBADF, name, 99)
		g.expect(EINVAL, name, 0)
		g.expect(ENOTCAPABLE, name, g.open(asked{path: "file", base: FDRead}))
	}
	for advice := range uint64(6) {
		g.expect(ESUCCESS, "fd_advise", fd, 0, 100, advice)
	}
	g.expect(EINVAL, "fd_advise", fd, 0, 100, 6)
	g.expect(EINVAL, "fd_advise", fd, 1<<63, 100, 0)
	g.expect(EINVAL, "fd_advise", fd, 0, 1<<63, 0)
	g.expect(EBADF, "fd_advise", 99, 0, 100, 0)
	g.expect(ESPIPE, "fd_advise", 0, 0, 100, 0)

	g.expect(ESUCCESS, "fd_allocate", fd, 10, 90)
	if size := len(g.content("file")); size != 100 {
		t.Errorf("the file has %d bytes", size)
	}
	g.expect(ESUCCESS, "fd_allocate", fd, 0, 10)
	if got := g.content("file"); len(got) != 100 || got[:4] != "file" {
		t.Errorf("the file is %q", got)
	}
	g.expect(EINVAL, "fd_allocate", fd, 0, 0)
	g.expect(EINVAL, "fd_allocate", fd, 1<<63, 1)
	g.expect(EFBIG, "fd_allocate", fd, 1<<62, 1<<62)
	g.expect(EBADF, "fd_allocate", 99, 0, 1)
	g.expect(EISDIR, "fd_allocate", preopen, 0, 1)
	g.expect(ESPIPE, "fd_allocate", 1, 0, 1)
	g.expect(EBADF, "fd_allocate", reader, 0, 1)
}

func TestFlags(t *testing.T) {
	t.Parallel()
	g, _, _ := newPiped(t, "file")
	var at, n uint64
	flags := func(fd uint64) Fdflags {
		g.expect(ESUCCESS, "fd_fdstat_get", fd, at)
		return Fdflags(g.u16(at + 2))
	}
	for f := range allFdflags + 1 {
		g.forget()
		at, n = g.room(24), g.room(8)
		fd := g.open(asked{path: "file", base: readAndWrite, fdflags: f})
		if got := flags(fd); got != f {
			t.Errorf("opened with %b, it says %b", f, got)
		}
		g.expect(ESUCCESS, "fd_fdstat_set_flags", fd, uint64(allFdflags^f))
		if got := flags(fd); got != allFdflags^f {
			t.Errorf("set to %b, it says %b", allFdflags^f, got)
		}
		g.expect(ESUCCESS, "fd_write", fd, g.texts("x"), 1, n)
		g.expect(ESUCCESS, "fd_read", fd, g.texts("x"), 1, n)
		g.expect(ESUCCESS, "fd_close", fd)
	}
	g.forget()
	at, n = g.room(24), g.room(8)
	g.expect(EINVAL, "fd_fdstat_set_flags", preopen, uint64(allFdflags+1))
	g.expect(EBADF, "fd_fdstat_set_flags", 99, 0)
	g.expect(EBADF, "fd_fdstat_get", 99, at)
	g.expect(EFAULT, "fd_fdstat_get", 0, outside)
	if _, e := g.tryOpen(asked{path: "file", fdflags: allFdflags + 1}); e != EINVAL {
		t.Errorf("open with unknown flags: errno %d", e)
	}

	must(t, os.WriteFile(filepath.Join(g.dir, "file"), []byte("1234"), 0o644))
	fd := g.open(asked{path: "file", base: readAndWrite, fdflags: Append})
	g.expect(ESUCCESS, "fd_write", fd, g.texts("5"), 1, n)
	g.expect(ESUCCESS, "fd_fdstat_set_flags", fd, 0)
	g.expect(ESUCCESS, "fd_seek", fd, 0, whenceSet, n)
	g.expect(ESUCCESS, "fd_write", fd, g.texts("a"), 1, n)
	g.expect(ESUCCESS, "fd_fdstat_set_flags", fd, uint64(Append))
	g.expect(ESUCCESS, "fd_write", fd, g.texts("6"), 1, n)
	if got := g.content("file"); got != "a23456" {
		t.Errorf("the file is %q", got)
	}
	// A pipe that is empty or full says so, if it is asked not to wait.
	g.expect(ESUCCESS, "fd_fdstat_set_flags", 0, uint64(Nonblock|Sync))
	g.expect(EAGAIN, "fd_read", 0, g.texts("x"), 1, n)
	g.expect(ESUCCESS, "fd_fdstat_set_flags", 1, uint64(Nonblock|Sync))
	big := g.texts(strings.Repeat("x", 1<<20))
	g.expect(ESUCCESS, "fd_write", 1, big, 1, n)
	if got := g.u32(n); got != 65536 {
		t.Errorf("%d bytes are in the pipe", got)
	}
	g.expect(EAGAIN, "fd_write", 1, big, 1, n)
}

// TestFlagsOfSharedStderrAreKept: the guest finds what it has set, by all its descriptors
// for it, and others find what was.
func TestFlagsOfSharedStderrAreKept(t *testing.T) {
	t.Parallel()
	log, err := unix.Open(filepath.Join(t.TempDir(), "log"), unix.O_CREAT|unix.O_WRONLY|unix.O_APPEND|unix.O_CLOEXEC, 0o600)
	must(t, err)
	host := func() int {
		flags, err := unix.FcntlInt(uintptr(log), unix.F_GETFL, 0)
		must(t, err)
		return flags
	}
	before := host()
	g := &tree{newRig(t, Config{
		Stdio: [3]int{openFile(t, os.DevNull), openFile(t, os.DevNull), log}, SharedStderr: true,
		Preopens: []Preopen{{FD: openDirectory(t, "/"), Name: "/"}},
	}), "/"}
	at := g.room(24)
	same := func(fd uint64, want Fdflags) {
		t.Helper()
		g.expect(ESUCCESS, "fd_fdstat_get", fd, at)
		if got := Fdflags(g.u16(at + 2)); got != want {
			t.Errorf("the flags of %d are %b, want %b", fd, got, want)
		}
		if got := host(); got != before {
			t.Errorf("the host's flags are %#o, want %#o", got, before)
		}
	}
	same(2, Append)
	g.expect(EINVAL, "fd_fdstat_set_flags", 2, uint64(allFdflags+1))
	g.expect(ESUCCESS, "fd_fdstat_set_flags", 2, uint64(Nonblock|Sync))
	same(2, Nonblock|Sync)
	other := g.open(asked{path: "proc/self/fd/2", base: FDWrite | FDFdstatSetFlags})
	g.expect(ESUCCESS, "fd_fdstat_set_flags", other, uint64(Nonblock))
	same(other, Nonblock)
	same(2, Nonblock)
	g.expect(ESUCCESS, "fd_write", 2, g.texts("x"), 1, g.room(4))
}

func TestAttributes(t *testing.T) {
	t.Parallel()
	g, _, _ := newPiped(t, "file")
	fd := g.open(asked{path: "file", base: readAndWrite})
	at := g.room(64)
	g.expect(ESUCCESS, "fd_filestat_get", fd, at)
	var st unix.Stat_t
	must(t, unix.Stat(filepath.Join(g.dir, "file"), &st))
	want := filestat{uint64(st.Dev), st.Ino, uint64(RegularFile), 1, 4, uint64(st.Atim.Nano()), uint64(st.Mtim.Nano()), uint64(st.Ctim.Nano())}
	if got := g.filestat(at); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got, e := g.stat("file", 0); e != ESUCCESS || got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	for fd, kind := range map[uint64]Filetype{0: Unknown, 2: CharacterDevice, preopen: Directory} {
		g.expect(ESUCCESS, "fd_filestat_get", fd, at)
		if got := g.filestat(at); Filetype(got.kind) != kind {
			t.Errorf("%d is a %d", fd, got.kind)
		}
	}
	g.expect(EBADF, "fd_filestat_get", 99, at)
	g.expect(EFAULT, "fd_filestat_get", fd, outside)
	path, size := g.path("file")
	g.expect(EFAULT, "path_filestat_get", preopen, 0, path, size, outside)
	g.expect(EFAULT, "path_filestat_get", preopen, 0, outside, size, at)
	g.expect(EINVAL, "path_filestat_get", preopen, 2, path, size, at)
	g.expect(ENOTDIR, "path_filestat_get", fd, 0, path, size, at)

	g.expect(ESUCCESS, "fd_filestat_set_size", fd, 2)
	if got := g.content("file"); got != "fi" {
		t.Errorf("the file is %q", got)
	}
	g.expect(ESUCCESS, "fd_filestat_set_size", fd, 5)
	if got := g.content("file"); got != "fi\x00\x00\x00" {
		t.Errorf("the file is %q", got)
	}
	g.expect(EINVAL, "fd_filestat_set_size", fd, 1<<63)
	g.expect(EBADF, "fd_filestat_set_size", 99, 0)
	g.expect(EISDIR, "fd_filestat_set_size", preopen, 0)
	g.expect(EINVAL, "fd_filestat_set_size", 1, 0)
	g.expect(EINVAL, "fd_filestat_set_size", g.open(asked{path: "file", base: FDRead | FDFilestatSetSize}), 0)
}

func TestTimes(t *testing.T) {
	t.Parallel()
	g := newTree(t, "file", "link -> file")
	fd := g.open(asked{path: "file", base: readAndWrite})
	link, size := g.path("link")
	at := g.room(64)
	for _, set := range []func(atim, mtim, flags uint64) Errno{
		func(atim, mtim, flags uint64) Errno { return g.call("fd_filestat_set_times", fd, atim, mtim, flags) },
		func(atim, mtim, flags uint64) Errno {
			return g.call("path_filestat_set_times", preopen, lookupFollow, link, size, atim, mtim, flags)
		},
	} {
		expect := func(want Errno, atim, mtim, flags uint64) filestat {
			t.Helper()
			if e := set(atim, mtim, flags); e != want {
				t.Errorf("times %d and %d, flags %d: errno %d, want %d", atim, mtim, flags, e, want)
			}
			g.expect(ESUCCESS, "fd_filestat_get", fd, at)
			return g.filestat(at)
		}
		if st := expect(ESUCCESS, 1_000_000_001, 2_000_000_002, setAtim|setMtim); st.atim != 1_000_000_001 || st.mtim != 2_000_000_002 {
			t.Errorf("%+v", st)
		}
		if st := expect(ESUCCESS, 7, 3_000_000_003, setMtim); st.atim != 1_000_000_001 || st.mtim != 3_000_000_003 {
			t.Errorf("%+v", st)
		}
		if st := expect(ESUCCESS, 0, 0, 0); st.atim != 1_000_000_001 || st.mtim != 3_000_000_003 {
			t.Errorf("%+v", st)
		}
		if st := expect(ESUCCESS, 0, 0, setAtimNow); st.atim < 1e18 || st.mtim != 3_000_000_003 {
			t.Errorf("%+v", st)
		}
		if st := expect(ESUCCESS, 5, 0, setAtim|setMtimNow); st.atim != 5 || st.mtim < 1e18 {
			t.Errorf("%+v", st)
		}
		expect(EINVAL, 1, 1, setAtim|setAtimNow)
		expect(EINVAL, 1, 1, setMtim|setMtimNow)
		expect(EINVAL, 1, 1, allFstflags+1)
	}
	g.expect(EBADF, "fd_filestat_set_times", 99, 0, 0, 0)
	g.expect(ENOTCAPABLE, "fd_filestat_set_times", g.open(asked{path: "file", base: FDRead}), 0, 0, 0)
	g.expect(EINVAL, "path_filestat_set_times", preopen, 2, link, size, 0, 0, 0)
	// Of the link itself, if it is not followed.
	g.expect(ESUCCESS, "path_filestat_set_times", preopen, 0, link, size, 8, 9, setAtim|setMtim)
	if st, _ := g.stat("link", 0); st.mtim != 9 {
		t.Errorf("the link has %+v", st)
	}
	if st, _ := g.stat("link", lookupFollow); st.mtim == 9 {
		t.Errorf("the file has %+v", st)
	}
	// Before 1970 there is nothing.
	times := []unix.Timespec{{Sec: -5}, {Sec: -5}}
	must(t, unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(g.dir, "file"), times, 0))
	if st, _ := g.stat("file", 0); st.mtim != 0 || st.atim != 0 {
		t.Errorf("the file has %+v", st)
	}
}

func TestPreopens(t *testing.T) {
	t.Parallel()
	dir, other := t.TempDir(), t.TempDir()
	populate(t, dir, "file")
	populate(t, other, "other")
	r := newRig(t, Config{Preopens: []Preopen{{FD: openDirectory(t, dir), Name: "/data"}, {FD: openDirectory(t, other), Name: ""}}})
	at := r.room(8)
	name := func(fd uint64, want string) {
		t.Helper()
		r.expect(ESUCCESS, "fd_prestat_get", fd, at)
		if r.u32(at) != 0 || r.u32(at+4) != uint32(len(want)) {
			t.Errorf("%d is of type %d with a name of %d bytes", fd, r.u32(at), r.u32(at+4))
		}
		buffer := r.put(bytes.Repeat([]byte{'#'}, 16))
		r.expect(ESUCCESS, "fd_prestat_dir_name", fd, buffer, 16)
		if got := string(r.read(buffer, len(want)+1)); got != want+"#" {
			t.Errorf("%d is %q, want %q", fd, got, want)
		}
		r.expect(ESUCCESS, "fd_prestat_dir_name", fd, buffer, uint64(len(want)))
	}
	name(3, "/data")
	name(4, "")
	r.expect(ENAMETOOLONG, "fd_prestat_dir_name", 3, at, 4)
	r.expect(EFAULT, "fd_prestat_dir_name", 3, outside, 5)
	r.expect(EFAULT, "fd_prestat_dir_name", 3, outside+14, 5)
	r.expect(EFAULT, "fd_prestat_get", 3, outside+14)
	sub := r.open(asked{path: ".", oflags: oDirectory})
	for _, fd := range []uint64{0, 1, 2, sub, 6, 1 << 31, 0xffffffff} {
		r.expect(EBADF, "fd_prestat_get", fd, at)
		r.expect(EBADF, "fd_prestat_dir_name", fd, at, 8)
	}
	// They can be closed and get other numbers like all others.
	r.expect(ESUCCESS, "fd_renumber", 4, 3)
	name(3, "")
	r.expect(EBADF, "fd_prestat_get", 4, at)
	if _, e := r.tryOpen(asked{path: "other"}); e != ESUCCESS {
		t.Errorf("open in it: errno %d", e)
	}
	r.expect(ESUCCESS, "fd_close", 3)
	r.expect(EBADF, "fd_prestat_get", 3, at)
	r.expect(EBADF, "fd_close", 3)
}

func TestCloseAndRenumber(t *testing.T) {
	t.Parallel()
	g := newTree(t, "one", "two", "a/b/c/d/")
	one, two := g.open(asked{path: "one", base: FDRead}), g.open(asked{path: "two", base: FDRead})
	g.expect(ESUCCESS, "fd_renumber", one, two)
	if got := g.readFile(two); got != "one" {
		t.Errorf("%q", got)
	}
	g.expect(EBADF, "fd_close", one)
	g.expect(EBADF, "fd_renumber", one, two)
	g.expect(EBADF, "fd_renumber", two, one)
	g.expect(EBADF, "fd_renumber", two, 1<<31)
	g.expect(ESUCCESS, "fd_renumber", two, two)
	g.expect(EBADF, "fd_renumber", 99, 99)
	if fd := g.open(asked{path: "one"}); fd != one {
		t.Errorf("the lowest free number is %d, not %d", one, fd)
	}
	// stdio and what was found open too
	g.expect(ESUCCESS, "fd_renumber", two, 0)
	g.expect(ESUCCESS, "fd_close", 1)
	deep := g.open(asked{path: "a/b/c/d", oflags: oDirectory})
	g.expect(ESUCCESS, "fd_renumber", deep, preopen)
	g.expect(ESUCCESS, "fd_close", preopen)
}

// openDescriptors is how many descriptors the process has.
func openDescriptors(t testing.TB) int {
	entries, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return len(entries)
}

// TestNothingStaysOpen is not parallel: it counts what the process has open.
func TestNothingStaysOpen(t *testing.T) {
	before := openDescriptors(t)
	func() {
		g := newTree(t, "a/b/c/d/file", "link -> a/b", "loop -> loop", "away -> ../..", "full/x/y/z")
		for range 3 {
			for _, path := range []string{"a/b/c/d/file", "link/c/d", "loop/x", "a/b/nothing/x", "away/a/b", "a/../../x", "full/x/y/z/no", "a/b/c/..", "."} {
				g.forget()
				for _, o := range []oflags{0, oDirectory, oCreat, oCreat | oExcl} {
					if fd, e := g.tryOpen(asked{path: path, oflags: o, base: FDRead | FDReaddir}); e == ESUCCESS && o != 0 {
						g.expect(ESUCCESS, "fd_close", fd)
					}
				}
				g.stat(path, lookupFollow)
				a, size := g.path(path)
				g.call("path_link", preopen, 1, a, size, preopen, a, size)
				g.call("path_rename", preopen, a, size, preopen, a, size)
				g.call("path_unlink_file", preopen, a, size)
				g.call("path_readlink", preopen, a, size, g.room(10), 10, g.room(4))
			}
		}
		g.system.Close()
	}()
	if after := openDescriptors(t); after != before {
		t.Errorf("%d descriptors were open, and are %d", before, after)
	}
}

func TestReaddir(t *testing.T) {
	t.Parallel()
	eachResolution(t, func(t *testing.T, confined bool) {
		dir := t.TempDir()
		populate(t, dir, "file", "dir/inner", "link -> file")
		must(t, unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
		must(t, unix.Mknod(filepath.Join(dir, "socket"), unix.S_IFSOCK|0o600, 0))
		g := &tree{newRig(t, Config{Preopens: []Preopen{{FD: openDirectory(t, dir), Name: "/", Confined: confined}}}), dir}
		fd := g.open(asked{path: ".", oflags: oDirectory, base: FDReaddir})
		want := map[string]Filetype{".": Directory, "..": Directory, "file": RegularFile, "dir": Directory, "link": SymbolicLink, "fifo": Unknown, "socket": SocketStream}
		for _, size := range []uint64{4096, 100, 50, direntSize + 6} {
			entries := g.list(fd, size)
			if len(entries) != len(want) {
				t.Errorf("%d entries with a buffer of %d bytes", len(entries), size)
			}
			for _, e := range entries {
				if kind, ok := want[e.name]; !ok || e.kind != kind {
					t.Errorf("%+v", e)
				}
				var st unix.Stat_t
				must(t, unix.Lstat(filepath.Join(dir, e.name), &st))
				if e.name == ".." && !confined { // the root is above itself
					must(t, unix.Lstat(dir, &st))
				}
				if e.ino != st.Ino {
					t.Errorf("%s has inode %d, want %d", e.name, e.ino, st.Ino)
				}
			}
		}
		out := g.room(4)
		g.expect(EBADF, "fd_readdir", 99, out, 4, 0, out)
		g.expect(ENOTDIR, "fd_readdir", 0, out, 4, 0, out)
		g.expect(ENOTDIR, "fd_readdir", g.open(asked{path: "file", base: FDRead}), out, 4, 0, out)
		g.expect(ENOTCAPABLE, "fd_readdir", g.open(asked{path: "dir"}), out, 4, 0, out)
		g.expect(EFAULT, "fd_readdir", fd, outside, 100, 0, out)
		g.expect(EFAULT, "fd_readdir", fd, out, 4, 0, outside+14)
		g.expect(EINVAL, "fd_readdir", fd, out, 4, 1<<63, out)
		g.expect(ESUCCESS, "fd_readdir", fd, out, 0, 0, out)
		gone := g.open(asked{path: "dir", base: FDReaddir})
		must(t, os.RemoveAll(filepath.Join(dir, "dir")))
		g.expect(ENOENT, "fd_readdir", gone, out, 4, 0, out)
	})
}

type entry struct {
	name   string
	ino    uint64
	cookie uint64
	kind   Filetype
}

// list reads a directory as wasi-libc does: what is cut at the end is read again.
func (r *rig) list(fd, size uint64) []entry {
	r.t.Helper()
	var all []entry
	buffer, out := r.room(int(size)), r.room(4)
	for cookie := uint64(0); ; {
		r.expect(ESUCCESS, "fd_readdir", fd, buffer, size, cookie, out)
		data := r.read(buffer, int(r.u32(out)))
		entries := parseEntries(data)
		all = append(all, entries...)
		if uint64(len(data)) < size {
			return all
		}
		if len(entries) == 0 {
			r.t.Fatalf("no entry fits %d bytes", size)
		}
		cookie = entries[len(entries)-1].cookie
	}
}

func parseEntries(data []byte) (entries []entry) {
	for len(data) >= direntSize {
		size := int(binary.LittleEndian.Uint32(data[16:]))
		if len(data) < direntSize+size {
			break
		}
		entries = append(entries, entry{string(data[direntSize : direntSize+size]), binary.LittleEndian.Uint64(data[8:]), binary.LittleEndian.Uint64(data), Filetype(data[20])})
		data = data[direntSize+size:]
	}
	return entries
}

// TestCookiesStayWhatTheyAre goes back and forth in a large directory while files
// come and go.
func TestCookiesStayWhatTheyAre(t *testing.T) {
	t.Parallel()
	g := newTree(t, "large/")
	const files = 3000
	for i := range files {
		must(t, os.WriteFile(filepath.Join(g.dir, "large", fmt.Sprintf("file-%d", i)), nil, 0o600))
	}
	fd := g.open(asked{path: "large", oflags: oDirectory, base: FDReaddir})
	other := g.open(asked{path: "large", oflags: oDirectory, base: FDReaddir})
	entries := g.list(fd, 4096)
	seen := map[string]int{}
	for i, e := range entries {
		seen[e.name] = i
	}
	if len(entries) != files+2 || len(seen) != files+2 {
		t.Fatalf("%d entries, %d names", len(entries), len(seen))
	}
	buffer, out := g.room(4096), g.room(4)
	for i := 0; i < len(entries)-1; i += 37 {
		at := (i * 31) % (len(entries) - 1)
		from := []uint64{fd, other}[i%2]
		g.expect(ESUCCESS, "fd_readdir", from, buffer, 300, entries[at].cookie, out)
		got := parseEntries(g.read(buffer, int(g.u32(out))))
		if len(got) == 0 || got[0] != entries[at+1] {
			t.Fatalf("after %+v comes %+v, not %+v", entries[at], got, entries[at+1])
		}
	}
	// What is removed while it is read is removed, and all others are met once.
	met := map[string]int{}
	for cookie := uint64(0); ; {
		g.expect(ESUCCESS, "fd_readdir", fd, buffer, 500, cookie, out)
		data := g.read(buffer, int(g.u32(out)))
		for _, e := range parseEntries(data) {
			met[e.name]++
			cookie = e.cookie
			if strings.HasPrefix(e.name, "file-") {
				must(t, os.Remove(filepath.Join(g.dir, "large", e.name)))
			}
		}
		if len(data) < 500 {
			break
		}
	}
	for name := range seen {
		if met[name] != 1 {
			t.Errorf("%s was met %d times", name, met[name])
		}
	}
	if left := g.list(fd, 4096); len(left) != 2 {
		t.Errorf("%d entries are left", len(left))
	}
}

func TestPathCallsRefuse(t *testing.T) {
	t.Parallel()
	g := newTree(t, "file", "link -> file")
	file, size := g.path("file")
	link, linkSize := g.path("link")
	n := g.room(8)
	g.expect(EFAULT, "path_open", preopen, 0, file, size, 0, 0, 0, 0, outside+14)
	g.expect(EFAULT, "path_open", preopen, 0, outside, size, 0, 0, 0, 0, n)
	g.expect(EINVAL, "path_open", preopen, 2, file, size, 0, 0, 0, 0, n)
	g.expect(EINVAL, "path_open", preopen, 0, file, size, uint64(allOflags+1), 0, 0, 0, n)
	g.expect(EINVAL, "path_open", preopen, 0, file, size, uint64(oCreat|oDirectory), 0, 0, 0, n)
	g.expect(ENAMETOOLONG, "path_open", preopen, 0, file, pathMax+1, 0, 0, 0, 0, n)
	g.expect(EINVAL, "path_link", preopen, 2, file, size, preopen, file, size)
	g.expect(EFAULT, "path_readlink", preopen, link, linkSize, outside, 100, n)
	g.expect(EFAULT, "path_readlink", preopen, link, linkSize, n, 8, outside+14)
	g.expect(EINVAL, "path_readlink", preopen, link, linkSize, n, 0, n)
	g.expect(EINVAL, "path_readlink", preopen, file, size, n, 8, n)
	for _, name := range []string{"path_create_directory", "path_remove_directory", "path_unlink_file"} {
		g.expect(EFAULT, name, preopen, outside, size)
		g.expect(EBADF, name, 99, file, size)
		g.expect(ENOTDIR, name, 0, file, size)
	}
	g.expect(EFAULT, "path_rename", preopen, outside, size, preopen, file, size)
	g.expect(EFAULT, "path_rename", preopen, file, size, preopen, outside, size)
	g.expect(EFAULT, "path_symlink", outside, size, preopen, file, size)
	g.expect(EFAULT, "path_symlink", file, size, preopen, outside, size)
	g.expect(EFAULT, "path_link", preopen, 0, outside, size, preopen, file, size)
	g.expect(EFAULT, "path_link", preopen, 0, file, size, preopen, outside, size)
	// A link that is longer than the buffer is cut.
	g.expect(ESUCCESS, "path_readlink", preopen, link, linkSize, n, 3, g.room(4))
	if got := string(g.read(n, 3)); got != "fil" {
		t.Errorf("%q", got)
	}
}

func TestNewFilesAreForAllButTheUmask(t *testing.T) {
	t.Parallel()
	g := newTree(t)
	mask := unix.Umask(0)
	unix.Umask(mask)
	g.open(asked{path: "file", oflags: oCreat})
	g.onPath("path_create_directory", preopen, "dir")
	for name, want := range map[string]uint32{"file": unix.S_IFREG | 0o666, "dir": unix.S_IFDIR | 0o777} {
		var st unix.Stat_t
		must(t, unix.Stat(filepath.Join(g.dir, name), &st))
		if st.Mode != want&^uint32(mask) {
			t.Errorf("%s has mode %o", name, st.Mode)
		}
	}
}

func TestDirectoryThatCannotBeListed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	populate(t, dir, "file")
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(t, err)
	r := newRig(t, Config{Preopens: []Preopen{{FD: fd, Name: "/"}}})
	if got := r.readFile(r.open(asked{path: "file", base: FDRead})); got != "file" {
		t.Errorf("%q", got)
	}
	r.expect(EACCES, "fd_readdir", preopen, r.room(100), 100, 0, r.room(4))
}
