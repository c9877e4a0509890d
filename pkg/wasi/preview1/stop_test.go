package preview1

import (
	"encoding/binary"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// only is the number of the one listener of a stopRig's guest.
const only = 3

// stopRig is a guest with a listener, which can be stopped.
type stopRig struct {
	*rig
	address unix.Sockaddr
	family  int
	ended   chan struct{}
}

func newStopRig(t *testing.T, family, flags int) stopRig {
	t.Helper()
	r := stopRig{family: family, ended: make(chan struct{}, 1)}
	var fd int
	if family == unix.AF_UNIX {
		path := filepath.Join(t.TempDir(), "s")
		fd, r.address = listenUnix(t, path, flags), &unix.SockaddrUnix{Name: path}
	} else {
		var err error
		fd = listenTCP(t, flags)
		r.address, err = unix.Getsockname(fd)
		must(t, err)
	}
	r.rig = newRig(t, Config{Preopens: []Preopen{{FD: fd}}, Stoppable: true})
	return r
}

func (r stopRig) dial() (int, error) {
	fd, err := unix.Socket(r.family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(r.t, err)
	r.t.Cleanup(func() { unix.Close(fd) })
	return fd, unix.Connect(fd, r.address)
}

func (r stopRig) connected() int {
	r.t.Helper()
	fd, err := r.dial()
	must(r.t, err)
	return fd
}

func (r stopRig) stop() { r.system.Stop(func() { r.ended <- struct{}{} }) }

func (r stopRig) expectEnd(want bool) {
	r.t.Helper()
	select {
	case <-r.ended:
		if !want {
			r.t.Error("it ends while a connection is open")
		}
	default:
		if want {
			r.t.Error("it does not end")
		}
	}
}

// stopFamilies are run by f.
func stopFamilies(t *testing.T, flags int, f func(t *testing.T, r stopRig)) {
	t.Parallel()
	for name, family := range map[string]int{"unix": unix.AF_UNIX, "TCP": unix.AF_INET} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, newStopRig(t, family, flags))
		})
	}
}

func TestStoppedGuestWithoutConnectionsEnds(t *testing.T) {
	stopFamilies(t, unix.SOCK_NONBLOCK, func(t *testing.T, r stopRig) {
		r.expect(EAGAIN, "sock_accept", only, 0, r.room(4))
		r.stop()
		r.expectEnd(true)
		if _, err := r.dial(); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("a new connection: %v", err)
		}
	})
}

func TestStoppedGuestEndsWithItsLastConnection(t *testing.T) {
	stopFamilies(t, unix.SOCK_NONBLOCK, func(t *testing.T, r stopRig) {
		number := r.room(4)
		var numbers []uint64
		for range 3 {
			r.connected()
			r.expect(ESUCCESS, "sock_accept", only, 0, number)
			numbers = append(numbers, uint64(r.u32(number)))
		}
		client := r.connected()
		r.expect(ESUCCESS, "sock_accept", only, 0, number)
		last := uint64(r.u32(number))
		r.expect(ESUCCESS, "fd_close", numbers[0])
		r.stop()
		r.expectEnd(false)
		r.expect(EINVAL, "sock_accept", only, 0, number)
		r.expect(ESUCCESS, "sock_send", last, r.texts("still "), 1, 0, number)
		r.expect(ESUCCESS, "fd_close", only) // is no connection
		r.expect(ESUCCESS, "fd_close", numbers[1])
		r.expect(ESUCCESS, "fd_renumber", 0, numbers[2])
		r.expectEnd(false)
		r.expect(ESUCCESS, "sock_send", last, r.texts("here"), 1, 0, number)
		r.expect(ESUCCESS, "fd_close", last)
		r.expectEnd(true)
		buffer := make([]byte, 20)
		if n, _, err := unix.Recvfrom(client, buffer, unix.MSG_WAITALL); err != nil || string(buffer[:n]) != "still here" {
			t.Errorf("%q, %v", buffer[:n], err)
		}
	})
}

func TestGuestThatWaitsInAcceptIsStopped(t *testing.T) {
	stopFamilies(t, 0, func(t *testing.T, r stopRig) {
		expectWoken(t, r)
	})
}

// expectWoken stops a guest that waits in accept.
func expectWoken(t *testing.T, r stopRig) {
	result := make(chan Errno)
	at := r.room(4)
	go func() { result <- r.call("sock_accept", only, 0, at) }()
	time.Sleep(50 * time.Millisecond)
	r.stop()
	select {
	case e := <-result:
		if e != EINVAL {
			t.Errorf("errno %d", e)
		}
		r.expectEnd(true)
	case <-time.After(10 * time.Second):
		t.Fatal("it waits on")
	}
}

func TestPatientGuestIsStopped(t *testing.T) {
	t.Parallel()
	r := stopRig{family: unix.AF_UNIX, ended: make(chan struct{}, 1)}
	path := filepath.Join(t.TempDir(), "s")
	r.rig = newRig(t, Config{Preopens: []Preopen{{FD: listenUnix(t, path, unix.SOCK_NONBLOCK), Patient: true}}, Stoppable: true})
	expectWoken(t, r)
}

func TestGuestThatWaitsInPollIsStopped(t *testing.T) {
	stopFamilies(t, unix.SOCK_NONBLOCK, func(t *testing.T, r stopRig) {
		r.connected()
		number := r.room(4)
		r.expect(ESUCCESS, "sock_accept", only, 0, number)
		in := make([]byte, subscriptionSize)
		in[8] = eventRead
		binary.LittleEndian.PutUint32(in[16:], only)
		subscriptions, events, count := r.put(in), r.room(eventSize), r.room(4)
		result := make(chan Errno)
		go func() { result <- r.call("poll_oneoff", subscriptions, events, 1, count) }()
		time.Sleep(50 * time.Millisecond)
		r.stop()
		select {
		case e := <-result:
			if flags := r.u16(events + 24); e != ESUCCESS || r.u32(count) != 1 || flags != hangup {
				t.Errorf("errno %d, %d events, flags %d", e, r.u32(count), flags)
			}
			r.expectEnd(false)
		case <-time.After(10 * time.Second):
			t.Fatal("it waits on")
		}
	})
}

// An accept that fails leaves no connection behind.
func TestFailedAcceptIsNoConnection(t *testing.T) {
	stopFamilies(t, unix.SOCK_NONBLOCK, func(t *testing.T, r stopRig) {
		for range 3 {
			r.expect(EAGAIN, "sock_accept", only, 0, r.room(4))
		}
		r.stop()
		r.expectEnd(true)
	})
}
