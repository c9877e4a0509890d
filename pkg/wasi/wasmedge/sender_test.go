package wasmedge

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi/preview1"
)

// TestNoRoomForTheSender: what comes is still there for who has room.
func TestNoRoomForTheSender(t *testing.T) {
	t.Parallel()
	socket := func(family int, at unix.Sockaddr) int {
		fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		must(t, err)
		if at != nil {
			must(t, unix.Bind(fd, at))
		}
		return fd
	}
	unixAt := func() unix.Sockaddr { return &unix.SockaddrUnix{Name: filepath.Join(t.TempDir(), "s")} }
	for name, tc := range map[string]struct {
		family int
		// at is where the guest receives, and from what the sender has, if anything.
		at, from unix.Sockaddr
		room     int
		want     preview1.Errno
	}{
		"IPv4":                     {unix.AF_INET, &unix.SockaddrInet4{Addr: [4]byte(home4)}, nil, 3, preview1.EINVAL},
		"IPv4 fits":                {unix.AF_INET, &unix.SockaddrInet4{Addr: [4]byte(home4)}, nil, 4, preview1.ESUCCESS},
		"IPv6":                     {unix.AF_INET6, &unix.SockaddrInet6{Addr: [16]byte(home6)}, nil, 4, preview1.EINVAL},
		"IPv6 fits":                {unix.AF_INET6, &unix.SockaddrInet6{Addr: [16]byte(home6)}, nil, 16, preview1.ESUCCESS},
		"unix":                     {unix.AF_UNIX, unixAt(), unixAt(), 16, preview1.EAFNOSUPPORT},
		"unix fits":                {unix.AF_UNIX, unixAt(), unixAt(), wideAddress, preview1.ESUCCESS},
		"unix, without an address": {unix.AF_UNIX, unixAt(), nil, 4, preview1.ESUCCESS},
	} {
		t.Run(name, func(t *testing.T) {
			fd, peer := socket(tc.family, tc.at), socket(tc.family, tc.from)
			defer unix.Close(peer)
			r := newRig(t, 1, preview1.Config{Preopens: []preview1.Preopen{{FD: fd}}})
			vector, data := r.pair(make([]byte, 16))
			from, _ := r.pair(make([]byte, tc.room))
			n, flags := r.room(4), r.room(2)
			to, err := unix.Getsockname(fd)
			must(t, err)
			must(t, unix.Sendto(peer, []byte("hello"), 0, to))
			r.expect(tc.want, "sock_recv_from", 3, vector, 1, from, 0, n, flags)
			if tc.want == preview1.ESUCCESS {
				if got := string(r.read(data, int(r.u32(n)))); got != "hello" {
					t.Errorf("%q", got)
				}
				r.expect(preview1.EAGAIN, "sock_recv_from", 3, vector, 1, from, 0, n, flags)
				return
			}
			got := make([]byte, 16)
			if n, err := unix.Read(fd, got); string(got[:max(n, 0)]) != "hello" {
				t.Errorf("%q is left (%v)", got[:max(n, 0)], err)
			}
		})
	}
}
