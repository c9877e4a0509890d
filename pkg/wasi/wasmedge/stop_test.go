package wasmedge

import (
	"errors"
	"fmt"
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi/preview1"
)

// TestListenersOfTheGuestAreStopped, also one that it makes afterwards.
func TestListenersOfTheGuestAreStopped(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1, preview1.Config{Stoppable: true})
	fd, port := r.serve(1, familyInet4, home4)
	at := fmt.Sprintf("127.0.0.1:%d", port)
	client, err := net.Dial("tcp", at)
	must(t, err)
	defer client.Close()
	connection := r.room(4)
	r.ok("sock_accept", fd, connection)
	ended := false
	r.system.Stop(func() { ended = true })
	later, port := r.serve(1, familyInet4, home4)
	for _, at := range []string{at, fmt.Sprintf("127.0.0.1:%d", port)} {
		if _, err := net.Dial("tcp", at); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("%s: %v", at, err)
		}
	}
	for _, fd := range []uint64{fd, later} {
		r.expect(preview1.EINVAL, "sock_accept", fd, r.room(4))
		r.ok("fd_close", fd)
	}
	if ended {
		t.Error("it ends while a connection is open")
	}
	r.ok("fd_close", r.u32(connection))
	if !ended {
		t.Error("it does not end")
	}
}
