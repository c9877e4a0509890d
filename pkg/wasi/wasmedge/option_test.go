package wasmedge

import (
	"bytes"
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi/preview1"
)

func little64(list ...uint64) (b []byte) {
	for _, v := range list {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return b
}

// optionTests are by number: what is set, and what is read then.
var optionTests = map[uint64]struct {
	name     string
	set, get []byte // nil: it cannot be set
	datagram bool
}{
	0: {"SO_REUSEADDR", words(1), words(1), false}, 1: {"SO_TYPE", nil, words(typeStream), false}, 2: {"SO_ERROR", nil, words(0), false},
	3: {"SO_DONTROUTE", words(1), words(1), false}, 4: {"SO_BROADCAST", words(1), words(1), true},
	5: {"SO_SNDBUF", words(8192), words(16384), false}, 6: {"SO_RCVBUF", words(8192), words(16384), false},
	7: {"SO_KEEPALIVE", words(1), words(1), false}, 8: {"SO_OOBINLINE", words(1), words(1), false},
	9: {"SO_LINGER", words(1, 7), words(1, 7), false}, 10: {"SO_RCVLOWAT", words(5), words(5), false},
	11: {"SO_RCVTIMEO", little64(3, 500000), little64(3, 500000), false}, 12: {"SO_SNDTIMEO", little64(1<<62, 1), little64(0, 0), false},
	13: {"SO_ACCEPTCONN", nil, words(0), false}, 14: {"SO_BINDTODEVICE", []byte("lo\x00"), []byte("lo\x00"), false},
}

func TestOptions(t *testing.T) {
	t.Parallel()
	if len(optionTests) != len(socketOptions) {
		t.Errorf("%d of %d options are tested", len(optionTests), len(socketOptions))
	}
	r := newRig(t, 2, preview1.Config{})
	for number, tc := range optionTests {
		kind := uint64(typeStream)
		if tc.datagram {
			kind = typeDatagram
		}
		fd := r.open(familyInet4, kind)
		if tc.set == nil {
			r.expect(preview1.ENOPROTOOPT, "sock_setsockopt", fd, levelSocket, number, r.put(words(1)), 4)
		} else {
			if e := r.call("sock_setsockopt", fd, levelSocket, number, r.put(tc.set), uint64(len(tc.set))); e == preview1.EPERM && tc.name == "SO_BINDTODEVICE" {
				continue // older kernels
			} else if e != 0 {
				t.Errorf("set %s: %d", tc.name, e)
			}
			if tc.name != "SO_BINDTODEVICE" { // of which any length is one
				r.expect(preview1.EINVAL, "sock_setsockopt", fd, levelSocket, number, r.put(tc.set), uint64(len(tc.set)-1))
			}
		}
		value, length := r.room(32), r.put(words(32))
		r.ok("sock_getsockopt", fd, levelSocket, number, value, length)
		if got := r.read(value, int(r.u32(length))); !bytes.Equal(got, tc.get) {
			t.Errorf("%s is %x, want %x", tc.name, got, tc.get)
		}
		r.expect(preview1.EINVAL, "sock_getsockopt", fd, levelSocket, number, value, r.put(words(1)))
		// As the libraries of Go ask for it.
		plain := r.room(32)
		r.ok("sock_getsockopt", fd, levelSocket, number, plain, uint64(len(tc.get)))
		if got := r.read(plain, len(tc.get)); !bytes.Equal(got, tc.get) {
			t.Errorf("%s is %x, want %x", tc.name, got, tc.get)
		}
	}
	fd := r.open(familyInet4, typeStream)
	r.ok("sock_setsockopt", fd, levelTCP, noDelay, r.put(words(1)), 4)
	value := r.room(4)
	if r.ok("sock_getsockopt", fd, levelTCP, noDelay, value, 4); r.u32(value) == 0 {
		t.Error("TCP_NODELAY is not set")
	}
	datagram := r.open(familyInet4, typeDatagram)
	if r.ok("sock_getsockopt", datagram, levelSocket, 1, value, 4); r.u32(value) != typeDatagram {
		t.Errorf("type %d", r.u32(value))
	}
}

func TestErrorsOfOptions(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2, preview1.Config{})
	fd, value := r.open(familyInet4, typeStream), r.put(words(1))
	for _, name := range []string{"sock_getsockopt", "sock_setsockopt"} {
		r.expect(preview1.EBADF, name, 99, 0, 0, value, 4)
		r.expect(preview1.ENOTSOCK, name, 0, 0, 0, value, 4)
		r.expect(preview1.EINVAL, name, fd, 1, 0, value, 4)
		r.expect(preview1.ENOPROTOOPT, name, fd, 0, 15, value, 4)
		r.expect(preview1.ENOPROTOOPT, name, fd, 6, 1, value, 4)
		r.expect(preview1.EFAULT, name, fd, 0, 0, outside, 4)
	}
	r.expect(preview1.EFAULT, "sock_getsockopt", fd, 0, 0, value, outside)
	r.expect(preview1.EDOM, "sock_setsockopt", fd, 0, 11, r.put(little64(0, 1000000)), 16)
	r.expect(preview1.EINVAL, "sock_setsockopt", fd, 0, 14, r.put(make([]byte, 17)), 17)
	r.expect(preview1.ENODEV, "sock_setsockopt", fd, 0, 14, r.put([]byte("nodevice")), 8)
	r.ok("sock_setsockopt", fd, 0, 14, 0, 0)
}

func FuzzOption(f *testing.F) {
	f.Add(uint32(0), uint32(11), little64(1, 2))
	f.Add(uint32(0), uint32(9), words(1, 2))
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, level, name uint32, value []byte) {
		o, e := optionOf(level, name)
		if e != preview1.ESUCCESS {
			return
		}
		o.set(fd, value)
		if n, _ := o.get(fd, value); n > len(value) {
			t.Errorf("%d bytes in %d", n, len(value))
		}
	})
}
