package preview1

import (
	"math"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// couple is a descriptor of a guest, and an equal one for the system calls that the
// functions on it resemble.
type couple struct {
	name   string
	guest  uint64
	native int
	kind   Filetype
}

// newCouples are descriptors of all kinds.
func newCouples(t *testing.T) (*rig, []couple) {
	t.Helper()
	dirs := [2]string{t.TempDir(), t.TempDir()}
	for _, dir := range dirs {
		populate(t, dir, "file", "dir/")
		must(t, unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
	}
	r := newRig(t, Config{Preopens: []Preopen{{FD: openDirectory(t, dirs[0]), Name: "/"}}})
	all := rightsOfFile | rightsOfDirectory
	var couples []couple
	opened := func(name, path string, flags int, base Rights, fdflags Fdflags) {
		native, err := unix.Open(filepath.Join(dirs[1], path), flags|unix.O_CLOEXEC, 0)
		must(t, err)
		t.Cleanup(func() { unix.Close(native) })
		couples = append(couples, couple{name, r.open(asked{path: path, base: base, inherit: all, fdflags: fdflags}), native, 0})
	}
	opened("file to read", "file", unix.O_RDONLY, all&^(FDWrite|FDAllocate), 0)
	opened("file to write", "file", unix.O_WRONLY, all&^(FDRead|FDReaddir), 0)
	opened("file", "file", unix.O_RDWR, all, 0)
	opened("file to append", "file", unix.O_RDWR|unix.O_APPEND, all, Append)
	opened("directory", "dir", unix.O_RDONLY, all&^(FDWrite|FDAllocate), 0)
	opened("FIFO", "fifo", unix.O_RDWR|unix.O_NONBLOCK, all, Nonblock)
	both := func(name string, make func() int) {
		number := uint64(len(r.system.files.slots))
		must(t, r.system.Add(Preopen{FD: make()}))
		native := make()
		t.Cleanup(func() { unix.Close(native) })
		couples = append(couples, couple{name, number, native, 0})
	}
	for _, path := range []string{"/dev/null", "/dev/zero", "/dev/full", "/proc/self/comm"} {
		both(path, func() int { return openFile(t, path) })
	}
	both("end of a pipe to read", func() int { return nonblocking(t, pipe(t, 1)[0]) })
	both("end of a pipe to write", func() int { return nonblocking(t, pipe(t, 0)[1]) })
	both("stream", func() int { return pair(t, unix.SOCK_STREAM|unix.SOCK_NONBLOCK)[0] })
	both("datagrams", func() int { return pair(t, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK)[0] })
	both("listener", func() int { return listenTCP(t, unix.SOCK_NONBLOCK) })
	for i, c := range couples {
		couples[i].kind = r.system.files.slots[c.guest].kind
	}
	return r, couples
}

func nonblocking(t testing.TB, fd int) int {
	t.Helper()
	must(t, unix.SetNonblock(fd, true))
	return fd
}

// differs tells that an error is not Linux's on purpose, as the documentation of the
// function says.
func differs(function string, offset int64, kind Filetype, got Errno) bool {
	switch {
	case kind == Directory && got == EISDIR: // whatever it was opened for, and cookies are no positions
		return true
	case function == "fd_write" || function == "sock_send":
		return got == ENOTCONN // of a listener, where TCP has EPIPE
	case function != "fd_advise":
		return false
	}
	return got == EINVAL && offset < 0 || got == ESPIPE && (kind == SocketStream || kind == SocketDgram)
}

// TestDescriptorsDoAsLinux makes each call on descriptors of all kinds.
func TestDescriptorsDoAsLinux(t *testing.T) {
	t.Parallel()
	r, couples := newCouples(t)
	iovs, _ := r.vectors(3, 2)
	out, second := r.room(64), r.room(8)
	buffers := func() [][]byte { return [][]byte{make([]byte, 3), make([]byte, 2)} }
	for _, c := range couples {
		fd, native := c.guest, c.native
		same := func(name string, err error, args ...uint64) {
			t.Helper()
			got, want := r.call(name, append([]uint64{fd}, args...)...), errnoOf(err)
			if got == want || len(args) > 0 && differs(name, int64(args[0]), c.kind, got) || differs(name, 0, c.kind, got) {
				return
			}
			t.Errorf("%s%d of a %s: errno %d, where Linux says %d", name, args, c.name, got, want)
		}
		for _, offset := range []int64{0, 2, -1, math.MinInt64} {
			_, err := unix.Preadv(native, buffers(), offset)
			same("fd_pread", err, iovs, 2, uint64(offset), out)
			_, err = unix.Pwritev(native, buffers(), offset)
			same("fd_pwrite", err, iovs, 2, uint64(offset), out)
			for whence, linux := range whences {
				_, err = unix.Seek(native, offset, linux)
				same("fd_seek", err, uint64(offset), uint64(whence), out)
			}
			for _, size := range []int64{0, 10, -1} {
				same("fd_advise", unix.Fadvise(native, offset, size, unix.FADV_NORMAL), uint64(offset), uint64(size), 0)
				same("fd_allocate", unix.Fallocate(native, 0, offset, size), uint64(offset), uint64(size))
			}
			same("fd_filestat_set_size", unix.Ftruncate(native, offset), uint64(offset))
		}
		_, err := unix.Seek(native, 0, unix.SEEK_CUR)
		same("fd_tell", err, out)
		_, err = unix.Readv(native, buffers())
		same("fd_read", err, iovs, 2, out)
		_, err = unix.Writev(native, buffers())
		same("fd_write", err, iovs, 2, out)
		same("fd_sync", unix.Fsync(native))
		same("fd_datasync", unix.Fdatasync(native))
		_, err = unix.Getdents(native, make([]byte, 1000))
		same("fd_readdir", err, out, 64, 0, second)
		_, err = unix.FcntlInt(uintptr(native), unix.F_SETFL, unix.O_NONBLOCK)
		same("fd_fdstat_set_flags", err, uint64(Nonblock))
		_, _, errno := unix.Syscall6(unix.SYS_ACCEPT4, uintptr(native), 0, 0, 0, 0, 0)
		same("sock_accept", number(errno), 0, out)
		_, err = socketCall(unix.SYS_RECVFROM, native, make([]byte, 5), 0)
		same("sock_recv", err, iovs, 2, 0, out, second)
		_, err = socketCall(unix.SYS_SENDTO, native, make([]byte, 5), unix.MSG_NOSIGNAL)
		same("sock_send", err, iovs, 2, 0, out)
		same("sock_shutdown", unix.Shutdown(native, unix.SHUT_RDWR), allSdflags)
		same("fd_close", nil)
	}
}

// number is an error unless it is 0.
func number(errno unix.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}
