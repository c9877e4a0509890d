package wasmedge

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/network"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi/preview1"
)

var home4 = []byte{127, 0, 0, 1}

var home6 = append(make([]byte, 15), 1)

// wide is an address of the second version.
func wide(family byte, address []byte) []byte {
	b := make([]byte, wideAddress)
	b[0] = family
	copy(b[2:], address)
	return b
}

// local asks for the address of a socket, in the way of the version.
func (r *rig) address(version int, name string, fd uint64) (addr netip.Addr, port, kind uint64) {
	r.t.Helper()
	portAt, kindAt := r.room(4), r.room(4)
	if version == 1 {
		at, b := r.pair(make([]byte, 16))
		r.ok(name, fd, at, kindAt, portAt)
		kind = r.u32(kindAt)
		size := 4
		if kind == 6 {
			size = 16
		}
		addr, _ = netip.AddrFromSlice(r.read(b, size))
		return addr, r.u32(portAt), kind
	}
	at, b := r.pair(make([]byte, wideAddress))
	r.ok(name, fd, at, portAt)
	size := 4
	if kind = uint64(r.read(b, 1)[0]); kind == familyInet6 {
		size = 16
	}
	addr, _ = netip.AddrFromSlice(r.read(b+2, size))
	return addr, r.u32(portAt), kind
}

// serve makes a listener at a port of the kernel's choice.
func (r *rig) serve(version int, family uint64, at []byte) (fd, port uint64) {
	r.t.Helper()
	fd = r.open(family, typeStream)
	pair, _ := r.pair(at)
	r.ok("sock_bind", fd, pair, 0)
	r.ok("sock_listen", fd, 16)
	addr, port, kind := r.address(version, "sock_getlocaladdr", fd)
	wantKind := family
	if version == 1 {
		wantKind = map[uint64]uint64{familyInet4: 4, familyInet6: 6}[family]
	}
	if !addr.IsLoopback() || port == 0 || kind != wantKind {
		r.t.Errorf("it listens at %v port %d, kind %d", addr, port, kind)
	}
	return fd, port
}

func eachVersion(t *testing.T, f func(t *testing.T, version int)) {
	for version := 1; version <= 2; version++ {
		t.Run(fmt.Sprint(version), func(t *testing.T) { t.Parallel(); f(t, version) })
	}
}

func TestServer(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, version int) {
		for family, at := range map[uint64][2][]byte{familyInet4: {home4, wide(familyInet4, home4)}, familyInet6: {home6, wide(familyInet6, home6)}} {
			r := newRig(t, version, preview1.Config{})
			fd, port := r.serve(version, family, at[version-1])
			host := map[uint64]string{familyInet4: "127.0.0.1", familyInet6: "::1"}[family]
			client, err := net.Dial("tcp", net.JoinHostPort(host, fmt.Sprint(port)))
			must(t, err)
			defer client.Close()
			connection := r.room(4)
			if version == 1 {
				r.ok("sock_accept", fd, connection)
			} else {
				r.ok("sock_accept", fd, 0, connection)
			}
			addr, port, _ := r.address(version, "sock_getpeeraddr", r.u32(connection))
			if got := netip.AddrPortFrom(addr, uint16(port)).String(); got != client.LocalAddr().String() {
				t.Errorf("from %s instead of %v", got, client.LocalAddr())
			}
			_, err = client.Write([]byte("hello"))
			must(t, err)
			vector, data := r.pair(make([]byte, 16))
			from, _ := r.pair(make([]byte, wideAddress))
			size, flags := r.room(4), r.room(4)
			// Of a stream there is no address.
			args := []uint64{r.u32(connection), vector, 1, from, 0, size, flags}
			if version == 2 {
				args = []uint64{r.u32(connection), vector, 1, from, 0, r.room(4), size, flags}
			}
			r.ok("sock_recv_from", args...)
			if got := string(r.read(data, int(r.u32(size)))); got != "hello" {
				t.Errorf("%q", got)
			}
			text, _ := r.pair([]byte("world"))
			r.ok("sock_send", r.u32(connection), text, 1, 0, size)
			got := make([]byte, 5)
			_, err = client.Read(got)
			if must(t, err); string(got) != "world" {
				t.Errorf("%q", got)
			}
			r.expect(preview1.ENOTCONN, "sock_recv", fd, vector, 1, 0, size, flags)
		}
	})
}

func TestClientThatDoesNotBlock(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, version int) {
		r := newRig(t, version, preview1.Config{})
		// Nobody listens at a port that is taken otherwise.
		taken, err := net.ListenPacket("udp", "127.0.0.1:0")
		must(t, err)
		defer taken.Close()
		refused := uint64(taken.LocalAddr().(*net.UDPAddr).Port)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		defer l.Close()
		for port, want := range map[uint64]preview1.Errno{uint64(l.Addr().(*net.TCPAddr).Port): 0, refused: preview1.ECONNREFUSED} {
			fd := r.open(familyInet4, typeStream)
			const nonblock = 4
			r.ok("fd_fdstat_set_flags", fd, nonblock)
			pair, _ := r.pair(home4)
			switch e := r.call("sock_connect", fd, pair, port); e {
			case 0, preview1.EINPROGRESS:
			case preview1.ECONNREFUSED: // at once
				continue
			default:
				t.Fatal(e)
			}
			const fdWrite = 2
			subscription := make([]byte, 48)
			subscription[8] = fdWrite
			copy(subscription[16:], words(fd))
			events, count := r.room(32), r.room(4)
			r.ok("poll_oneoff", r.put(subscription), events, 1, count)
			value, length := r.room(4), r.put(words(4))
			r.ok("sock_getsockopt", fd, 0, 2, value, length)
			if got := preview1.Errno(r.u32(value)); got != want {
				t.Errorf("port %d: %d instead of %d", port, got, want)
			}
		}
	})
}

func TestClient(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1, preview1.Config{})
	fd, port := r.serve(1, familyInet4, home4)
	client := r.open(familyInet4, typeStream)
	pair, _ := r.pair(wide(familyInet4, home4)) // versions can be mixed
	r.ok("sock_connect", client, pair, port)
	r.expect(preview1.EISCONN, "sock_connect", client, pair, port)
	connection := r.room(4)
	r.ok("sock_accept", fd, connection)
	mine, minePort, _ := r.address(1, "sock_getlocaladdr", client)
	theirs, theirPort, _ := r.address(1, "sock_getpeeraddr", r.u32(connection))
	if mine != theirs || minePort != theirPort {
		t.Errorf("%v %d, %v %d", mine, minePort, theirs, theirPort)
	}
}

func TestDatagrams(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, version int) {
		r := newRig(t, version, preview1.Config{})
		fd := r.open(familyInet4, typeDatagram)
		pair, _ := r.pair(home4)
		r.ok("sock_bind", fd, pair, 0)
		_, port, _ := r.address(version, "sock_getlocaladdr", fd)
		peer, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", port))
		must(t, err)
		defer peer.Close()
		must(t, peer.SetDeadline(time.Now().Add(10*time.Second)))
		receive := func(flags uint64, sizes ...int) (text string, from netip.AddrPort, truncated uint64) {
			t.Helper()
			var vectors []byte
			var buffers []uint64
			for _, n := range sizes {
				buffers = append(buffers, r.room(n))
				vectors = append(vectors, words(buffers[len(buffers)-1], uint64(n))...)
			}
			size, out, portAt := r.room(4), r.put(words(0)), r.room(4)
			length := 16
			if version == 2 {
				length = wideAddress
			}
			at, b := r.pair(make([]byte, length))
			if version == 1 {
				r.ok("sock_recv_from", fd, r.put(vectors), uint64(len(sizes)), at, flags, size, out)
			} else {
				r.ok("sock_recv_from", fd, r.put(vectors), uint64(len(sizes)), at, flags, portAt, size, out)
				if b += 2; r.read(b-2, 1)[0] != familyInet4 {
					t.Error("family")
				}
			}
			for i, left := 0, int(r.u32(size)); left > 0; i++ {
				n := min(left, sizes[i])
				text += string(r.read(buffers[i], n))
				left -= n
			}
			addr, _ := netip.AddrFromSlice(r.read(b, 4))
			return text, netip.AddrPortFrom(addr, uint16(r.u32(portAt))), r.u32(out)
		}
		write := func(s string) {
			_, err := peer.Write([]byte(s))
			must(t, err)
		}
		want := netip.MustParseAddrPort(peer.LocalAddr().String())
		for _, tc := range []struct {
			flags     uint64
			sizes     []int
			text      string
			truncated uint64
		}{
			{0, []int{16}, "hello", 0}, {0, []int{2, 16}, "hello", 0}, {0, []int{2, 2}, "hell", 1}, {0, []int{3}, "hel", 1},
			{flagPeek, []int{3}, "hel", 1}, {flagPeek, []int{1, 4}, "hello", 0}, {0, nil, "", 1},
		} {
			write("hello")
			text, from, truncated := receive(tc.flags, tc.sizes...)
			if text != tc.text || truncated != tc.truncated || from.Addr() != want.Addr() || version == 2 && from != want {
				t.Errorf("%v: %q from %v, truncated %d", tc, text, from, truncated)
			}
			if tc.flags == flagPeek {
				receive(0, 5)
			}
		}
		write("")
		if text, _, _ := receive(0, 3); text != "" {
			t.Errorf("an empty datagram: %q", text)
		}
		address := home4
		if version == 2 {
			address = wide(familyInet4, home4)
		}
		to, _ := r.pair(address)
		size := r.room(4)
		for _, parts := range [][]string{{"one"}, {"t", "wo"}, {""}, {}} {
			var vectors []byte
			whole := ""
			for _, p := range parts {
				vectors = append(vectors, words(r.put([]byte(p)), uint64(len(p)))...)
				whole += p
			}
			r.ok("sock_send_to", fd, r.put(vectors), uint64(len(parts)), to, uint64(want.Port()), 0, size)
			b := make([]byte, 10)
			n, err := peer.Read(b)
			must(t, err)
			if string(b[:n]) != whole || r.u32(size) != uint64(len(whole)) {
				t.Errorf("%q, %d", b[:n], r.u32(size))
			}
		}
		big := words(r.room(1<<16), 1<<16, 64, 1<<16)
		r.expect(preview1.EMSGSIZE, "sock_send_to", fd, r.put(big), 1, to, 1, 0, size)
		r.expect(preview1.EMSGSIZE, "sock_send_to", fd, r.put(big), 2, to, 1, 0, size)
	})
}

func TestErrorsOfSockets(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, version int) {
		r := newRig(t, version, preview1.Config{})
		at, bad := r.room(4), uint64(outside)
		for e, args := range map[preview1.Errno][][]uint64{
			preview1.EINVAL:       {{0, typeStream, at}, {4, typeStream, at}, {257, typeStream, at}, {familyInet4, typeAny, at}, {familyInet4, 3, at}},
			preview1.EAFNOSUPPORT: {{familyUnix, typeStream, at}},
			preview1.EFAULT:       {{familyInet4, typeStream, bad}},
		} {
			for _, a := range args {
				r.expect(e, "sock_open", a...)
			}
		}
		fd, port := r.serve(version, familyInet4, home4)
		free := r.open(familyInet4, typeStream)
		datagram := r.open(familyInet4, typeDatagram)
		four, _ := r.pair(home4)
		other, _ := r.pair([]byte{203, 0, 113, 1})
		short, _ := r.pair([]byte{1, 2, 3})
		unixAddress, _ := r.pair(wide(familyUnix, []byte("/x")))
		none, _ := r.pair(wide(0, nil))
		missing := r.put(words(outside, 4))
		for _, name := range []string{"sock_bind", "sock_connect"} {
			r.expect(preview1.EBADF, name, 99, four, 1)
			r.expect(preview1.ENOTSOCK, name, 0, four, 1)
			r.expect(preview1.EFAULT, name, free, bad, 1)
			r.expect(preview1.EFAULT, name, free, missing, 1)
			r.expect(preview1.EINVAL, name, free, short, 1)
			r.expect(preview1.EINVAL, name, free, none, 1)
			r.expect(preview1.EINVAL, name, free, four, 65536)
			r.expect(preview1.EAFNOSUPPORT, name, free, unixAddress, 1)
		}
		r.expect(preview1.EADDRINUSE, "sock_bind", free, four, port)
		r.expect(preview1.EADDRNOTAVAIL, "sock_bind", free, other, port)
		r.expect(preview1.EBADF, "sock_listen", 99, 1)
		r.expect(preview1.ENOTSOCK, "sock_listen", 1, 1)
		r.expect(preview1.ENOTSUP, "sock_listen", datagram, 1)
		accept := func(fd, at uint64) []uint64 {
			if version == 2 {
				return []uint64{fd, 0, at}
			}
			return []uint64{fd, at}
		}
		r.expect(preview1.EBADF, "sock_accept", accept(99, at)...)
		r.expect(preview1.ENOTSOCK, "sock_accept", accept(0, at)...)
		r.expect(preview1.EFAULT, "sock_accept", accept(fd, bad)...)
		r.expect(preview1.EINVAL, "sock_accept", accept(free, at)...)
		r.expect(preview1.ENOTSUP, "sock_accept", accept(datagram, at)...)
		buffer, _ := r.pair(make([]byte, 128))
		small, _ := r.pair(make([]byte, 3))
		tell := func(fd, buffer, at uint64) []uint64 {
			if version == 2 {
				return []uint64{fd, buffer, at}
			}
			return []uint64{fd, buffer, r.room(4), at}
		}
		for _, name := range []string{"sock_getlocaladdr", "sock_getpeeraddr"} {
			r.expect(preview1.EBADF, name, tell(99, buffer, at)...)
			r.expect(preview1.ENOTSOCK, name, tell(0, buffer, at)...)
			r.expect(preview1.EFAULT, name, tell(fd, bad, at)...)
		}
		r.expect(preview1.EFAULT, "sock_getlocaladdr", tell(fd, buffer, bad)...)
		r.expect(preview1.EINVAL, "sock_getlocaladdr", tell(fd, small, at)...)
		r.expect(preview1.ENOTCONN, "sock_getpeeraddr", tell(fd, buffer, at)...)
		receive := func(fd, vectors, count, address, flags, size, out uint64) []uint64 {
			if version == 2 {
				return []uint64{fd, vectors, count, address, flags, r.room(4), size, out}
			}
			return []uint64{fd, vectors, count, address, flags, size, out}
		}
		vector, _ := r.pair(make([]byte, 8))
		r.expect(preview1.EBADF, "sock_recv_from", receive(99, vector, 1, buffer, 0, at, at)...)
		r.expect(preview1.ENOTSOCK, "sock_recv_from", receive(0, vector, 1, buffer, 0, at, at)...)
		r.expect(preview1.EINVAL, "sock_recv_from", receive(datagram, vector, 1, buffer, 4, at, at)...)
		r.expect(preview1.EFAULT, "sock_recv_from", receive(datagram, bad, 1, buffer, 0, at, at)...)
		r.expect(preview1.EFAULT, "sock_recv_from", receive(datagram, missing, 1, buffer, 0, at, at)...)
		r.expect(preview1.EFAULT, "sock_recv_from", receive(datagram, vector, 1, bad, 0, at, at)...)
		r.expect(preview1.EFAULT, "sock_recv_from", receive(datagram, vector, 1, buffer, 0, bad, at)...)
		r.expect(preview1.EFAULT, "sock_recv_from", receive(datagram, vector, 1, buffer, 0, at, bad)...)
		r.expect(preview1.ENOTCONN, "sock_recv_from", receive(fd, vector, 1, buffer, 0, at, at)...)
		r.ok("fd_fdstat_set_flags", datagram, 4)
		r.expect(preview1.EAGAIN, "sock_recv_from", receive(datagram, vector, 1, buffer, 0, at, at)...)
		r.expect(preview1.EBADF, "sock_send_to", 99, vector, 1, four, 1, 0, at)
		r.expect(preview1.ENOTSOCK, "sock_send_to", 0, vector, 1, four, 1, 0, at)
		r.expect(preview1.EINVAL, "sock_send_to", datagram, vector, 1, four, 1, 1, at)
		r.expect(preview1.EFAULT, "sock_send_to", datagram, bad, 1, four, 1, 0, at)
		r.expect(preview1.EFAULT, "sock_send_to", datagram, vector, 1, bad, 1, 0, at)
		r.expect(preview1.EFAULT, "sock_send_to", datagram, vector, 1, four, 1, 0, bad)
		r.expect(preview1.EINVAL, "sock_send_to", datagram, vector, 1, short, 1, 0, at)
		r.expect(preview1.EPIPE, "sock_send_to", free, vector, 1, four, 1, 0, at)
	})
}

func TestPolicyOfTheNetwork(t *testing.T) {
	t.Parallel()
	for p, allowed := range map[network.Policy]string{
		network.Full:   "sock_open sock_bind sock_listen sock_connect sock_getaddrinfo sock_recv_from sock_send_to sock_getsockopt sock_setsockopt sock_getlocaladdr sock_getpeeraddr",
		network.Listen: "sock_recv_from sock_send_to sock_getsockopt sock_setsockopt sock_getlocaladdr sock_getpeeraddr", network.None: "",
	} {
		r := newRig(t, 2, preview1.Config{Network: p})
		for _, f := range functions {
			e := r.call(f.Name, make([]uint64, len(ofVersionNamed(2, f.Name).Params))...)
			if isAllowed := strings.Contains(" "+allowed+" ", " "+f.Name+" "); (e != preview1.EACCES) != isAllowed {
				t.Errorf("%v: %s is %d", p, f.Name, e)
			}
		}
	}
}

func ofVersionNamed(version int, name string) preview1.Extension {
	for _, x := range ofVersion(version) {
		if x.Name == name {
			return x
		}
	}
	return preview1.Extension{}
}

func TestListenersFoundOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, l := range []unix.Sockaddr{&unix.SockaddrUnix{Name: dir + "/s"}, &unix.SockaddrUnix{Name: "@" + dir}, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}} {
		family, want := unix.AF_UNIX, byte(familyUnix)
		if _, ok := l.(*unix.SockaddrInet4); ok {
			family, want = unix.AF_INET, familyInet4
		}
		fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		must(t, err)
		must(t, unix.Bind(fd, l))
		must(t, unix.Listen(fd, 1))
		r := newRig(t, 2, preview1.Config{Network: network.Listen, Preopens: []preview1.Preopen{{FD: fd}}})
		at, b := r.pair(make([]byte, wideAddress))
		r.ok("sock_getlocaladdr", 3, at, r.room(4))
		got := r.read(b, wideAddress)
		if got[0] != want {
			t.Errorf("family %d", got[0])
		}
		if u, ok := l.(*unix.SockaddrUnix); ok && string(got[2:2+len(u.Name)+1]) != u.Name+"\x00" {
			t.Errorf("%q", got)
		}
		narrow, _ := r.pair(make([]byte, 16))
		e := preview1.ESUCCESS
		if family == unix.AF_UNIX {
			e = preview1.EAFNOSUPPORT
		}
		r.expect(e, "sock_getlocaladdr", 3, narrow, r.room(4))
	}
}

func FuzzAddress(f *testing.F) {
	f.Add(home4, uint32(80))
	f.Add(wide(familyInet6, home6), uint32(65535))
	f.Fuzz(func(t *testing.T, b []byte, port uint32) {
		at, e := decodeAddress(b, port)
		if e != preview1.ESUCCESS {
			return
		}
		s := sockaddrOf(at)
		for _, into := range [][]byte{make([]byte, 16), make([]byte, wideAddress)} {
			kind, p, e := s.encode(into)
			if e != preview1.ESUCCESS || p != port || kind != kindInet4 && kind != kindInet6 {
				t.Errorf("%v becomes %x, %d, %d", at, into, p, e)
			}
		}
		var again [wideAddress]byte
		s.encode(again[:])
		if back, e := decodeAddress(again[:], port); e != preview1.ESUCCESS || back != at {
			t.Errorf("%v becomes %v, %d", at, back, e)
		}
	})
}
