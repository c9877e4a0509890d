package preview1

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestReadOfNothingTakesNothing: of sockets, read(2) and readv(2) with no room return 0
// at once, and leave what there is, as fd_read has to.
func TestReadOfNothingTakesNothing(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]int{"stream": unix.SOCK_STREAM, "datagrams": unix.SOCK_DGRAM} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hosts, guests := pair(t, kind), pair(t, kind)
			native := hosts[0]
			defer unix.Close(native)
			r := newRig(t, Config{Preopens: []Preopen{{FD: guests[0]}}})
			empty, _ := r.vectors(0, 0)
			n := r.room(4)
			for _, sent := range []string{"", "hello"} {
				if sent != "" {
					for _, peer := range []int{hosts[1], guests[1]} {
						_, err := unix.Write(peer, []byte(sent))
						must(t, err)
					}
				}
				if got, err := unix.Read(native, nil); got != 0 || err != nil {
					t.Errorf("after %q, read(2) says %d, %v", sent, got, err)
				}
				if got, err := unix.Readv(native, [][]byte{{}, {}}); got != 0 || err != nil {
					t.Errorf("after %q, readv(2) says %d, %v", sent, got, err)
				}
				for count := range uint64(3) {
					r.atOnce(guests[1], func() { r.expect(ESUCCESS, "fd_read", 3, empty, count, n) })
					if got := r.u32(n); got != 0 {
						t.Errorf("after %q, %d bytes of nothing", sent, got)
					}
				}
			}
			one := make([]byte, 1)
			for who, fd := range map[string]int{"Linux": native, "fd_read": r.system.files.slots[3].fd} {
				if _, _, err := unix.Recvfrom(fd, one, unix.MSG_DONTWAIT); err != nil || one[0] != 'h' {
					t.Errorf("%s has taken what was sent: %v", who, err)
				}
			}
		})
	}
}

// atOnce fails if a call waits until its peer sends something.
func (r *rig) atOnce(peer int, call func()) {
	r.t.Helper()
	const soon = 5 * time.Second
	waited := time.AfterFunc(soon, func() {
		if _, err := unix.Write(peer, []byte("x")); err != nil && !errors.Is(err, unix.EBADF) {
			r.t.Error(err)
		}
	})
	call()
	if !waited.Stop() {
		r.t.Fatal("a call has waited")
	}
}
