package preview1

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// unstable calls a function as a guest does that imports it by the older name.
func (r *rig) unstable(want Errno, name string, args ...uint64) {
	r.t.Helper()
	if e := r.callOf(UnstableName, name, args...); e != want {
		r.t.Errorf("%s(%d) is %d, want %d", name, args, e, want)
	}
}

// withFile is a guest whose descriptor 0 is a file of this content, and 3 its
// directory.
func withFile(t *testing.T, content string) (*rig, *unix.Stat_t) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(name, []byte(content), 0o600))
	var st unix.Stat_t
	must(t, unix.Stat(name, &st))
	dir, err := unix.Open(filepath.Dir(name), unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(t, err)
	return newRig(t, Config{
		Stdio:    [3]int{openFile(t, name), openFile(t, os.DevNull), openFile(t, os.DevNull)},
		Preopens: []Preopen{{FD: dir, Name: "/"}},
	}), &st
}

func TestUnstableSeekHasOtherNumbers(t *testing.T) {
	t.Parallel()
	r, _ := withFile(t, "0123456789")
	at := r.room(8)
	const cur, end, set = 0, 1, 2
	for _, c := range []struct {
		offset       int64
		whence, want uint64
	}{{4, set, 4}, {2, cur, 6}, {-1, end, 9}} {
		r.unstable(ESUCCESS, "fd_seek", 0, uint64(c.offset), c.whence, at)
		if got := binary.LittleEndian.Uint64(r.read(at, 8)); got != c.want {
			t.Errorf("offset %d, whence %d: %d, want %d", c.offset, c.whence, got, c.want)
		}
	}
	r.unstable(EINVAL, "fd_seek", 0, 0, 3, at)
}

func TestUnstableAttributesAreShorter(t *testing.T) {
	t.Parallel()
	r, st := withFile(t, "0123456789")
	name := r.put([]byte("file"))
	for function, args := range map[string][]uint64{"fd_filestat_get": {0}, "path_filestat_get": {3, 0, name, 4}} {
		at := r.put(make([]byte, 64))
		r.module.Memory().WriteByte(uint32(at)+unstableFilestatSize, 0xaa)
		r.unstable(ESUCCESS, function, append(args, at)...)
		got := r.read(at, 64)
		if binary.LittleEndian.Uint64(got[8:]) != st.Ino || Filetype(got[16]) != RegularFile || binary.LittleEndian.Uint32(got[20:]) != 1 ||
			binary.LittleEndian.Uint64(got[24:]) != 10 || binary.LittleEndian.Uint64(got[40:]) != uint64(st.Mtim.Nano()) {
			t.Errorf("%s: % x", function, got)
		}
		if got[unstableFilestatSize] != 0xaa {
			t.Errorf("%s has written too much", function)
		}
		last := uint64(r.module.Memory().Size()) - unstableFilestatSize
		r.unstable(ESUCCESS, function, append(args, last)...)
		r.unstable(EFAULT, function, append(args, last+1)...)
	}
}

func TestUnstableSubscriptionsAreLonger(t *testing.T) {
	t.Parallel()
	r, _ := withFile(t, "")
	in := make([]byte, 2*unstableSubscriptionSize)
	clock, file := in[:unstableSubscriptionSize], in[unstableSubscriptionSize:]
	binary.LittleEndian.PutUint64(clock, 1)
	binary.LittleEndian.PutUint64(clock[16:], 0xffff) // the identifier
	binary.LittleEndian.PutUint32(clock[24:], clockMonotonic)
	binary.LittleEndian.PutUint64(clock[32:], 1) // ns
	binary.LittleEndian.PutUint64(file, 2)
	file[8] = eventRead
	out, count := r.room(2*eventSize), r.room(4)
	r.unstable(ESUCCESS, "poll_oneoff", r.put(clock), out, 1, count)
	if ev := r.read(out, eventSize); r.u32(count) != 1 || ev[0] != 1 || ev[8] != 0 || ev[10] != eventClock {
		t.Errorf("%d events: % x", r.u32(count), ev)
	}
	r.unstable(ESUCCESS, "poll_oneoff", r.put(file), out, 1, count)
	if ev := r.read(out, eventSize); r.u32(count) != 1 || ev[0] != 2 || ev[8] != 0 || ev[10] != eventRead {
		t.Errorf("%d events: % x", r.u32(count), ev)
	}
}

func TestUnstableHasNoAccept(t *testing.T) {
	t.Parallel()
	if got, all := len(unstableFunctions()), len(functions()); got != all-1 {
		t.Errorf("%d functions of %d", got, all)
	}
	for _, f := range unstableFunctions() {
		if f.name == "sock_accept" {
			t.Error("it is there")
		}
	}
}

// TestUnstableRefusesTheSame calls the functions that have a form of their own.
func TestUnstableRefusesTheSame(t *testing.T) {
	t.Parallel()
	r, _ := withFile(t, "0123456789")
	at, name, n := r.room(64), r.put([]byte("file")), r.room(4)
	last := uint64(r.module.Memory().Size())
	const cur, end = 0, 1
	pipe := pipe(t, 1)
	must(t, r.system.Add(Preopen{FD: pipe[0]}))
	const dir, stream = 3, 4
	in := r.put(make([]byte, unstableSubscriptionSize))
	for _, tc := range []struct {
		want     Errno
		function string
		args     []uint64
	}{
		{EBADF, "fd_seek", []uint64{99, 0, cur, at}},
		{EFAULT, "fd_seek", []uint64{0, 0, cur, last - 7}},
		{EINVAL, "fd_seek", []uint64{0, 1<<64 - 11, end, at}},
		{EINVAL, "fd_seek", []uint64{0, 0, 0xffffffff, at}},
		{EISDIR, "fd_seek", []uint64{dir, 0, cur, at}},
		{ESPIPE, "fd_seek", []uint64{stream, 0, cur, at}},
		{EBADF, "fd_filestat_get", []uint64{99, at}},
		{EBADF, "path_filestat_get", []uint64{99, 0, name, 4, at}},
		{EFAULT, "path_filestat_get", []uint64{dir, 0, last - 3, 4, at}},
		{EILSEQ, "path_filestat_get", []uint64{dir, 0, at, 4, at}},
		{EINVAL, "path_filestat_get", []uint64{dir, 2, name, 4, at}},
		{ENAMETOOLONG, "path_filestat_get", []uint64{dir, 0, name, pathMax + 1, at}},
		{ENOENT, "path_filestat_get", []uint64{dir, 0, name, 3, at}},
		{ENOTDIR, "path_filestat_get", []uint64{0, 0, name, 4, at}},
		{EINVAL, "poll_oneoff", []uint64{in, at, 0, n}},
		{EINVAL, "poll_oneoff", []uint64{in, at, maxSubscriptions + 1, n}},
		{EFAULT, "poll_oneoff", []uint64{last - unstableSubscriptionSize + 1, at, 1, n}},
		{EFAULT, "poll_oneoff", []uint64{in, last - eventSize + 1, 1, n}},
		{EFAULT, "poll_oneoff", []uint64{in, at, 1, last - 3}},
		{ESUCCESS, "poll_oneoff", []uint64{in, in, 1, n}}, // over itself
	} {
		r.unstable(tc.want, tc.function, tc.args...)
	}
	r.expect(ESUCCESS, "fd_fdstat_set_rights", 0, 0, 0)
	r.unstable(ENOTCAPABLE, "fd_seek", 0, 0, cur, at)
	r.unstable(ENOTCAPABLE, "fd_filestat_get", 0, at)
	// What is wrong with one subscription is its event's error.
	subscription := make([]byte, unstableSubscriptionSize)
	for kind, want := range map[byte]Errno{eventRead: EBADF, eventWrite: EBADF, 3: EINVAL} {
		subscription[8] = kind
		binary.LittleEndian.PutUint32(subscription[16:], 99)
		r.unstable(ESUCCESS, "poll_oneoff", r.put(subscription), at, 1, n)
		if got := Errno(r.u16(at + 8)); got != want || r.u32(n) != 1 {
			t.Errorf("type %d: %d events, errno %d", kind, r.u32(n), got)
		}
	}
}
