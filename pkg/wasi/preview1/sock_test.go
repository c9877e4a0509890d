package preview1

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// listenUnix returns a listener at path.
func listenUnix(t testing.TB, path string, flags int) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|flags, 0)
	must(t, err)
	must(t, unix.Bind(fd, &unix.SockaddrUnix{Name: path}))
	must(t, unix.Listen(fd, 10))
	return fd
}

// listenTCP returns a listener on loopback, at a port of the kernel's choice.
func listenTCP(t testing.TB, flags int) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|flags, 0)
	must(t, err)
	must(t, unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	must(t, unix.Listen(fd, 10))
	return fd
}

func dialUnix(t testing.TB, path string) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	must(t, unix.Connect(fd, &unix.SockaddrUnix{Name: path}))
	return fd
}

// pair returns two sockets; the second is closed at the end of the test.
func pair(t testing.TB, kind int) [2]int {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { unix.Close(fds[1]) })
	return fds
}

// sockets are what the guest of most tests has, and their numbers. The others are
// the test's.
const (
	stream = 3 + iota
	datagram
	listener
)

type socketRig struct {
	*rig
	path                 string
	streamOut, packetOut int
}

func newSocketRig(t testing.TB, flags int) socketRig {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	streams, packets := pair(t, unix.SOCK_STREAM|flags), pair(t, unix.SOCK_DGRAM|flags)
	r := newRig(t, Config{Preopens: []Preopen{{FD: streams[0]}, {FD: packets[0]}, {FD: listenUnix(t, path, flags)}}})
	return socketRig{rig: r, path: path, streamOut: streams[1], packetOut: packets[1]}
}

func TestSocketsAreWhatTheyAre(t *testing.T) {
	t.Parallel()
	r := newSocketRig(t, 0)
	for number, want := range map[int]struct {
		kind    Filetype
		base    Rights
		inherit Rights
		listens bool
	}{
		stream:   {SocketStream, rightsOfSocket, 0, false},
		datagram: {SocketDgram, rightsOfSocket, 0, false},
		listener: {SocketStream, rightsOfListener, rightsOfSocket, true},
	} {
		d := r.system.files.slots[number]
		if d.kind != want.kind || d.base != want.base || d.inherit != want.inherit || d.listens != want.listens {
			t.Errorf("%d is %+v, want %+v", number, d, want)
		}
	}
}

func TestConnectionsAreAccepted(t *testing.T) {
	t.Parallel()
	r := newSocketRig(t, 0)
	out := r.room(4)
	for _, nonblock := range []Fdflags{0, Nonblock} {
		peer := dialUnix(t, r.path)
		r.happens([]event{{userdata: 1, kind: eventRead, bytes: 1}}, subscribe(1, eventRead, listener))
		r.expect(ESUCCESS, "sock_accept", listener, uint64(nonblock), out)
		number := r.u32(out)
		d := r.system.files.slots[number]
		flags, err := unix.FcntlInt(uintptr(d.fd), unix.F_GETFL, 0)
		must(t, err)
		if d.kind != SocketStream || d.base != rightsOfSocket || (flags&unix.O_NONBLOCK != 0) != (nonblock != 0) {
			t.Errorf("with flags %d: %+v, %#x", nonblock, d, flags)
		}
		size := r.room(4)
		r.expect(ESUCCESS, "sock_send", uint64(number), r.texts("he", "", "llo"), 3, 0, size)
		got := make([]byte, 10)
		n, err := unix.Read(peer, got)
		if r.u32(size) != 5 || string(got[:n]) != "hello" {
			t.Errorf("%d bytes sent, %q came (%v)", r.u32(size), got[:n], err)
		}
		r.expect(ESUCCESS, "fd_close", uint64(number))
		if n, err := unix.Read(peer, got); n != 0 || err != nil {
			t.Errorf("after the close: %d, %v", n, err)
		}
	}
}

func TestAcceptedConnectionsHaveWhatIsInherited(t *testing.T) {
	t.Parallel()
	r := newSocketRig(t, 0)
	out := r.room(4)
	r.expect(ESUCCESS, "fd_fdstat_set_rights", listener, uint64(rightsOfListener), uint64(FDRead))
	dialUnix(t, r.path)
	r.expect(ESUCCESS, "sock_accept", listener, 0, out)
	r.expect(ENOTCAPABLE, "sock_send", uint64(r.u32(out)), r.texts("x"), 1, 0, r.room(4))
	r.expect(ENOTCAPABLE, "sock_shutdown", uint64(r.u32(out)), shutWrite)
	r.expect(ESUCCESS, "fd_fdstat_set_rights", listener, 0, 0)
	r.expect(ENOTCAPABLE, "sock_accept", listener, 0, out)
}

func TestAcceptRefuses(t *testing.T) {
	t.Parallel()
	r := newSocketRig(t, unix.SOCK_NONBLOCK)
	out := r.room(4)
	r.expect(EAGAIN, "sock_accept", listener, 0, out)
	r.expect(EINVAL, "sock_accept", listener, uint64(Append), out)
	r.expect(EINVAL, "sock_accept", listener, uint64(Nonblock|Sync), out)
	r.expect(EFAULT, "sock_accept", listener, 0, outside)
	r.expect(EBADF, "sock_accept", 17, 0, out)
	r.expect(ENOTSOCK, "sock_accept", 0, 0, out)
	r.expect(EINVAL, "sock_accept", stream, 0, out)
	r.expect(ENOTSUP, "sock_accept", datagram, 0, out)
}

// A guest cannot have more than the process: it hears so, and loses no connection.
func TestAcceptWithoutRoom(t *testing.T) {
	r := newSocketRig(t, unix.SOCK_NONBLOCK)
	out := r.room(4)
	dialUnix(t, r.path)
	var old unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &old))
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: old.Max}))
	r.expect(EMFILE, "sock_accept", listener, 0, out)
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &old))
	r.expect(ESUCCESS, "sock_accept", listener, 0, out)
}

func TestPatientSocketsWaitUntilTheGuestHasLooked(t *testing.T) {
	t.Parallel()
	r := newSocketRig(t, unix.SOCK_NONBLOCK)
	for _, number := range []int{listener, datagram} {
		r.system.files.slots[number].patient = true
	}
	out, size, flags := r.room(4), r.room(4), r.room(2)
	time.AfterFunc(50*time.Millisecond, func() { dialUnix(t, r.path) })
	r.expect(ESUCCESS, "sock_accept", listener, 0, out)
	time.AfterFunc(50*time.Millisecond, func() { unix.Write(r.packetOut, []byte("late")) })
	vectors, _ := r.vectors(10)
	r.expect(ESUCCESS, "sock_recv", datagram, vectors, 1, 0, size, flags)
	if r.u32(size) != 4 {
		t.Errorf("%d bytes", r.u32(size))
	}
	for _, number := range []uint64{listener, datagram} {
		r.system.files.slots[number].patient = false
	}
	r.expect(EAGAIN, "sock_accept", listener, 0, out)
	r.expect(EAGAIN, "sock_recv", datagram, vectors, 1, 0, size, flags)
}

func TestReceive(t *testing.T) {
	t.Parallel()
	r := newSocketRig(t, unix.SOCK_NONBLOCK)
	size, flags := r.room(4), r.room(2)
	for _, tc := range []struct {
		name   string
		number uint64
		sent   string
		sizes  []int
		flags  uint64
		got    string
		left   int
		cut    bool
	}{
		{"one buffer", stream, "hello", []int{10}, 0, "hello", 0, false},
		{"small buffer", stream, "hello", []int{3}, 0, "hel", 2, false},
		{"buffers", stream, "hello", []int{2, 0, 1, 10}, 0, "hello", 0, false},
		{"peek", stream, "hello", []int{10}, recvPeek, "hello", 5, false},
		{"peek into buffers", stream, "hello", []int{1, 2}, recvPeek, "hel", 5, false},
		{"all", stream, "hello", []int{4}, recvWaitall, "hell", 1, false},
		{"all into buffers", stream, "hello", []int{2, 2}, recvWaitall, "hell", 1, false},
		{"all of less", stream, "hello", []int{2, 2, 2, 2}, recvWaitall, "hello", 0, false},
		{"nothing", stream, "hello", nil, 0, "", 5, false},
		{"datagram", datagram, "hello", []int{10}, 0, "hello", 0, false},
		{"datagram of the size", datagram, "hello", []int{5}, 0, "hello", 0, false},
		{"cut datagram", datagram, "hello", []int{3}, 0, "hel", 0, true},
		{"datagram into buffers", datagram, "hello", []int{2, 10}, 0, "hello", 0, false},
		{"cut datagram into buffers", datagram, "hello", []int{2, 2}, 0, "hell", 0, true},
		{"peek at a datagram", datagram, "hello", []int{3}, recvPeek, "hel", 5, true},
		{"no buffer for a datagram", datagram, "hello", nil, 0, "", 0, true},
	} {
		peer := map[uint64]int{stream: r.streamOut, datagram: r.packetOut}[tc.number]
		_, err := unix.Write(peer, []byte(tc.sent))
		must(t, err)
		vectors, buffers := r.vectors(tc.sizes...)
		r.expect(ESUCCESS, "sock_recv", tc.number, vectors, uint64(len(tc.sizes)), tc.flags, size, flags)
		var got []byte
		for i, b := range buffers {
			got = append(got, r.read(b, tc.sizes[i])...)
		}
		got = got[:min(int(r.u32(size)), len(got))]
		if string(got) != tc.got || int(r.u32(size)) != len(tc.got) || (r.u16(flags) == recvDataTruncated) != tc.cut {
			t.Errorf("%s: %d bytes, %q, flags %d", tc.name, r.u32(size), got, r.u16(flags))
		}
		rest := make([]byte, 100)
		n, _, err := unix.Recvfrom(r.system.files.slots[tc.number].fd, rest, unix.MSG_DONTWAIT)
		if n = max(n, 0); n != tc.left {
			t.Errorf("%s: %d bytes are left (%v), want %d", tc.name, n, err, tc.left)
		}
	}
}

func TestReceiveWaitsForAll(t *testing.T) {
	t.Parallel()
	r := newSocketRig(t, 0)
	size, flags := r.room(4), r.room(2)
	go func() {
		for _, part := range []string{"a", "b", "c", "d", "e"} {
			unix.Write(r.streamOut, []byte(part))
			time.Sleep(5 * time.Millisecond)
		}
	}()
	vectors, buffers := r.vectors(3, 2)
	r.expect(ESUCCESS, "sock_recv", stream, vectors, 2, recvWaitall, size, flags)
	if got := append(bytes.Clone(r.read(buffers[0], 3)), r.read(buffers[1], 2)...); r.u32(size) != 5 || string(got) != "abcde" {
		t.Errorf("%d bytes, %q", r.u32(size), got)
	}
}

func TestReceiveRefuses(t *testing.T) {
	t.Parallel()
	r := newSocketRig(t, unix.SOCK_NONBLOCK)
	size, flags := r.room(4), r.room(2)
	vectors, _ := r.vectors(8, 8)
	r.expect(EAGAIN, "sock_recv", stream, vectors, 1, 0, size, flags)
	r.expect(EAGAIN, "sock_recv", stream, vectors, 2, 0, size, flags)
	r.expect(EAGAIN, "sock_recv", stream, vectors, 2, recvPeek, size, flags)
	r.expect(EAGAIN, "sock_recv", stream, vectors, 2, recvWaitall, size, flags)
	r.expect(EAGAIN, "sock_recv", datagram, vectors, 2, 0, size, flags)
	r.expect(EINVAL, "sock_recv", stream, vectors, 1, 4, size, flags)
	r.expect(EBADF, "sock_recv", 17, vectors, 1, 0, size, flags)
	r.expect(ENOTSOCK, "sock_recv", 0, vectors, 1, 0, size, flags)
	r.expect(ENOTCONN, "sock_recv", listener, vectors, 1, 0, size, flags)
	r.expect(EFAULT, "sock_recv", stream, outside, 1, 0, size, flags)
	r.expect(EFAULT, "sock_recv", stream, vectors, 1<<30, 0, size, flags)
	r.expect(EFAULT, "sock_recv", stream, vectors, 1, 0, outside, flags)
	r.expect(EFAULT, "sock_recv", stream, vectors, 1, 0, size, outside)
	unix.Write(r.streamOut, []byte("x"))
	must(t, unix.Shutdown(r.streamOut, unix.SHUT_WR))
	r.expect(ESUCCESS, "sock_recv", stream, vectors, 2, 0, size, flags)
	r.expect(ESUCCESS, "sock_recv", stream, vectors, 2, recvWaitall, size, flags)
	if r.u32(size) != 0 {
		t.Errorf("%d bytes at the end", r.u32(size))
	}
	r.expect(ESUCCESS, "fd_fdstat_set_rights", stream, uint64(FDWrite), 0)
	r.expect(ENOTCAPABLE, "sock_recv", stream, vectors, 1, 0, size, flags)
}

// A listener of TCP says of its connections that they were reset.
func TestReceiveOfAResetConnection(t *testing.T) {
	t.Parallel()
	ours, theirs := tcpPair(t)
	r := newRig(t, Config{Preopens: []Preopen{{FD: ours}}})
	must(t, unix.SetsockoptLinger(theirs, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}))
	must(t, unix.Close(theirs))
	vectors, _ := r.vectors(8)
	r.happens([]event{{userdata: 1, kind: eventRead, flags: hangup}, {userdata: 2, kind: eventWrite, bytes: 1, flags: hangup}},
		subscribe(1, eventRead, 3), subscribe(2, eventWrite, 3))
	r.expect(ECONNRESET, "sock_recv", 3, vectors, 1, 0, r.room(4), r.room(2))
	r.expect(EPIPE, "sock_send", 3, vectors, 1, 0, r.room(4))
}

func tcpPair(t testing.TB) (ours, theirs int) {
	t.Helper()
	l := listenTCP(t, 0)
	defer unix.Close(l)
	address, err := unix.Getsockname(l)
	must(t, err)
	theirs, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	must(t, unix.Connect(theirs, address))
	ours, _, err = unix.Accept4(l, unix.SOCK_CLOEXEC)
	must(t, err)
	return ours, theirs
}

func TestHalfClosedConnectionsAreNoHangup(t *testing.T) {
	t.Parallel()
	ours, theirs := tcpPair(t)
	defer unix.Close(theirs)
	r := newRig(t, Config{Preopens: []Preopen{{FD: ours}}})
	must(t, unix.Shutdown(theirs, unix.SHUT_WR))
	r.happens([]event{{userdata: 1, kind: eventRead}}, subscribe(1, eventRead, 3))
	r.expect(ESUCCESS, "sock_send", 3, r.texts("still"), 1, 0, r.room(4))
}

func TestSendRefuses(t *testing.T) {
	t.Parallel()
	r := newSocketRig(t, unix.SOCK_NONBLOCK)
	size := r.room(4)
	vectors := r.texts("one", "two")
	r.expect(EINVAL, "sock_send", stream, vectors, 1, 1, size)
	r.expect(EBADF, "sock_send", 17, vectors, 1, 0, size)
	r.expect(ENOTSOCK, "sock_send", 0, vectors, 1, 0, size)
	r.expect(ENOTCONN, "sock_send", listener, vectors, 1, 0, size)
	r.expect(EFAULT, "sock_send", stream, outside, 1, 0, size)
	r.expect(EFAULT, "sock_send", stream, vectors, 1<<30, 0, size)
	r.expect(EFAULT, "sock_send", stream, vectors, 1, 0, outside)
	r.expect(ESUCCESS, "sock_send", datagram, vectors, 0, 0, size)
	large, _ := r.vectors(1 << 20)
	for e := ESUCCESS; e != EAGAIN; e = r.call("sock_send", stream, large, 1, 0, size) {
		if e != ESUCCESS {
			t.Fatalf("a full socket says %d", e)
		}
	}
	r.expect(EMSGSIZE, "sock_send", datagram, large, 1, 0, size)
	r.expect(ESUCCESS, "fd_fdstat_set_rights", stream, uint64(FDRead), 0)
	r.expect(ENOTCAPABLE, "sock_send", stream, vectors, 1, 0, size)
}

func TestDatagramsAreSentAsOne(t *testing.T) {
	t.Parallel()
	r := newSocketRig(t, 0)
	size := r.room(4)
	r.expect(ESUCCESS, "sock_send", datagram, r.texts("one", "", "two"), 3, 0, size)
	got := make([]byte, 20)
	n, err := unix.Read(r.packetOut, got)
	must(t, err)
	if string(got[:n]) != "onetwo" || r.u32(size) != 6 {
		t.Errorf("%q, %d", got[:n], r.u32(size))
	}
}

// A guest that writes to a connection that is closed hears so: no signal ends it.
func TestSendToAClosedConnection(t *testing.T) {
	t.Parallel()
	r := newSocketRig(t, 0)
	must(t, unix.Shutdown(r.streamOut, unix.SHUT_RDWR))
	size := r.room(4)
	r.expect(EPIPE, "sock_send", stream, r.texts("x"), 1, 0, size)
	r.expect(EPIPE, "sock_send", stream, r.texts("x", "y"), 2, 0, size)
}

func TestShutdown(t *testing.T) {
	t.Parallel()
	for how, want := range map[uint64]struct{ read, written int }{shutRead: {1, -1}, shutWrite: {0, 1}, allSdflags: {0, -1}} {
		r := newSocketRig(t, 0)
		r.expect(ESUCCESS, "sock_shutdown", stream, how)
		got := make([]byte, 1)
		if want.read == 1 {
			r.expect(ESUCCESS, "sock_send", stream, r.texts("x"), 1, 0, r.room(4))
		}
		n, err := unix.Read(r.streamOut, got)
		if n != want.read {
			t.Errorf("after shutdown(%d): the other end reads %d (%v)", how, n, err)
		}
		if n, err = unix.SendmsgN(r.streamOut, []byte("x"), nil, nil, unix.MSG_NOSIGNAL); (n == 1) != (want.written == 1) {
			t.Errorf("after shutdown(%d): the other end writes %d (%v)", how, n, err)
		}
	}
}

func TestShutdownRefuses(t *testing.T) {
	t.Parallel()
	r := newSocketRig(t, 0)
	r.expect(EINVAL, "sock_shutdown", stream, 0)
	r.expect(EINVAL, "sock_shutdown", stream, 4)
	r.expect(EINVAL, "sock_shutdown", stream, 7)
	r.expect(EBADF, "sock_shutdown", 17, shutRead)
	r.expect(ENOTSOCK, "sock_shutdown", 1, shutRead)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	must(t, r.system.Add(Preopen{FD: fd}))
	r.expect(ENOTCONN, "sock_shutdown", listener+1, shutRead)
	r.expect(ESUCCESS, "fd_fdstat_set_rights", stream, uint64(FDRead), 0)
	r.expect(ENOTCAPABLE, "sock_shutdown", stream, shutRead)
}

func TestReceivingAndSendingAllocateNothing(t *testing.T) {
	r := newSocketRig(t, unix.SOCK_NONBLOCK)
	vectors, _ := r.vectors(100)
	m := memory{Memory: r.module.Memory()}
	send := []uint64{stream, vectors, 1, 0, r.room(4)}
	receive := []uint64{stream, vectors, 1, 0, r.room(4), r.room(2)}
	data, buffer := []byte("hello"), make([]byte, 1000)
	if n := testing.AllocsPerRun(100, func() {
		unix.Write(r.streamOut, data)
		sockSend(r.system, m, send)
		sockRecv(r.system, m, receive)
		sockRecv(r.system, m, receive) // EAGAIN
		unix.Read(r.streamOut, buffer)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestWhatIsNoSocketCannotBePreopened(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	if err := r.system.Add(Preopen{FD: 1 << 20}); err == nil {
		t.Error("a descriptor that is not open became one of the guest's")
	}
	fd := openFile(t, os.DevNull)
	must(t, r.system.Add(Preopen{FD: fd}))
}
