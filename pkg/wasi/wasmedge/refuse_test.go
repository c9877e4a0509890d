package wasmedge

import (
	"fmt"
	"net"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi/preview1"
)

// TestRefusedConnection: the port is taken, so that nobody else gets it, but nobody
// listens there.
func TestRefusedConnection(t *testing.T) {
	t.Parallel()
	taken, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(taken)
	must(t, unix.Bind(taken, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	at, err := unix.Getsockname(taken)
	must(t, err)
	r := newRig(t, 1, preview1.Config{})
	home, _ := r.pair(home4)
	r.expect(preview1.ECONNREFUSED, "sock_connect", r.open(familyInet4, typeStream), home, uint64(at.(*unix.SockaddrInet4).Port))
}

func TestRightsOfSockets(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1, preview1.Config{})
	listener, _ := r.serve(1, familyInet4, home4)
	fd := r.open(familyInet4, typeDatagram)
	home, _ := r.pair(home4)
	vector, _ := r.pair(make([]byte, 8))
	n, flags := r.room(4), r.room(4)
	taken := func(fd uint64) { r.ok("fd_fdstat_set_rights", fd, 0, 0) }
	unixAddress, _ := r.pair(wide(familyUnix, []byte("/x")))
	r.expect(preview1.EAFNOSUPPORT, "sock_send_to", fd, vector, 1, unixAddress, 1, 0, n)
	r.expect(preview1.ENOTCONN, "sock_send_to", listener, vector, 1, home, 1, 0, n)
	taken(fd)
	r.expect(preview1.ENOTCAPABLE, "sock_recv_from", fd, vector, 1, home, 0, n, flags)
	r.expect(preview1.ENOTCAPABLE, "sock_send_to", fd, vector, 1, home, 1, 0, n)
	const nonblock = 4
	r.ok("fd_fdstat_set_flags", listener, nonblock)
	r.expect(preview1.EAGAIN, "sock_accept", listener, n)
	taken(listener)
	r.expect(preview1.ENOTCAPABLE, "sock_accept", listener, n)
}

func TestConnectionsDoNotListen(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1, preview1.Config{})
	fd, port := r.serve(1, familyInet4, home4)
	client, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	must(t, err)
	defer client.Close()
	at := r.room(4)
	r.ok("sock_accept", fd, at)
	r.expect(preview1.EINVAL, "sock_listen", r.u32(at), 1)
	small, _ := r.pair(make([]byte, 3))
	r.expect(preview1.EINVAL, "sock_getpeeraddr", r.u32(at), small, r.room(4), r.room(4))
}

func TestPeerOfAUnixSocket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	must(t, err)
	defer l.Close()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	must(t, unix.Connect(fd, &unix.SockaddrUnix{Name: path}))
	r := newRig(t, 2, preview1.Config{Preopens: []preview1.Preopen{{FD: fd}}})
	narrow, _ := r.pair(make([]byte, 16))
	r.expect(preview1.EAFNOSUPPORT, "sock_getpeeraddr", 3, narrow, r.room(4))
	whole, b := r.pair(make([]byte, wideAddress))
	r.ok("sock_getpeeraddr", 3, whole, r.room(4))
	if got := string(r.read(b+2, len(path)+1)); got != path+"\x00" {
		t.Errorf("%q", got)
	}
}

// TestSocketWithoutRoom is not parallel: the limit is the process's.
func TestSocketWithoutRoom(t *testing.T) {
	r := newRig(t, 1, preview1.Config{})
	at := r.room(4)
	var old unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &old))
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: old.Max}))
	e := r.call("sock_open", familyInet4, typeStream, at)
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &old))
	if e != preview1.EMFILE {
		t.Errorf("errno %d", e)
	}
	r.ok("sock_open", familyInet4, typeStream, at)
}
