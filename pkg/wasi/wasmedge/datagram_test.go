package wasmedge

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi/preview1"
)

// TestDatagramsAreSentWhole: also one in more buffers than a call takes is not cut.
func TestDatagramsAreSentWhole(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1, preview1.Config{})
	to, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	must(t, err)
	defer unix.Close(to)
	must(t, unix.Bind(to, &unix.SockaddrInet4{Addr: [4]byte(home4)}))
	fd, n := r.open(familyInet4, typeDatagram), r.room(4)
	home, _ := r.pair(home4)
	letter := r.put([]byte("x"))
	var vectors []byte
	for range 1025 {
		vectors = append(vectors, words(letter, 1)...)
	}
	at, got := r.put(vectors), make([]byte, 2000)
	r.expect(preview1.EMSGSIZE, "sock_send_to", fd, at, 1025, home, portOf(t, to), 0, n)
	if size, err := unix.Read(to, got); err != unix.EAGAIN {
		t.Errorf("there was a datagram of %d bytes (%v)", size, err)
	}
	r.ok("sock_send_to", fd, at, 1024, home, portOf(t, to), 0, n)
	if size, err := unix.Read(to, got); size != 1024 || r.u32(n) != 1024 {
		t.Errorf("%d bytes, a datagram of %d (%v)", r.u32(n), size, err)
	}
}
