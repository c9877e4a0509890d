package preview1

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

var sockFunctions = []function{
	{"sock_accept", "iii", sockAccept},
	{"sock_recv", "iiiiii", sockRecv},
	{"sock_send", "iiiii", sockSend},
	{"sock_shutdown", "ii", sockShutdown},
}

// sdflags are sock_shutdown's.
const (
	shutRead = 1 << iota
	shutWrite
	allSdflags = shutRead | shutWrite
)

// sockAccept takes a connection: (fd, flags: fdflags of the new descriptor, of which
// there is NONBLOCK, fd: pointer to it). As accept(2), and EBADF, EFAULT, EINVAL for
// other flags and for what does not listen, EMFILE, ENOTCAPABLE, ENOTSOCK, ENOTSUP for
// datagrams. EAGAIN is that of a listener that does not block.
func sockAccept(s *System, m memory, a arguments) Errno {
	if a.u32(1)&^uint32(Nonblock) != 0 {
		return EINVAL
	}
	if _, ok := m.bytes(a.u32(2), 4); !ok {
		return EFAULT
	}
	listener, e := s.files.get(a.u32(0), SockAccept)
	if e != ESUCCESS {
		return e
	}
	d, e := s.accept(listener, a.u32(1)&uint32(Nonblock) != 0)
	if e != ESUCCESS {
		return e
	}
	number, e := s.files.add(d)
	if e != ESUCCESS {
		d.close()
		return e
	}
	return m.put32(a.u32(2), number)
}

// accept takes a connection, which counts for those who want to stop the guest.
func (s *System) accept(listener *descriptor, nonblocking bool) (*descriptor, Errno) {
	s.stopper.connects()
	d, e := listener.accept(nonblocking)
	if s.ways.spare(e) {
		d, e = listener.accept(nonblocking)
	}
	if e != ESUCCESS {
		s.stopper.disconnects()
		return nil, e
	}
	d.stopper = s.stopper
	return d, ESUCCESS
}

// accept takes a connection, with the rights that the listener passes on.
func (d *descriptor) accept(nonblocking bool) (*descriptor, Errno) {
	flags := uintptr(unix.SOCK_CLOEXEC)
	if nonblocking {
		flags |= unix.SOCK_NONBLOCK
	}
	for {
		fd, _, errno := unix.Syscall6(unix.SYS_ACCEPT4, uintptr(d.fd), 0, 0, flags, 0, 0)
		if errno == 0 {
			return &descriptor{fd: int(fd), kind: SocketStream, base: d.inherit, inherit: d.inherit}, ESUCCESS
		}
		if errno == unix.EAGAIN && d.stopper.stops() {
			return nil, EINVAL // as of other sockets: a unix socket that does not block knows nothing
		}
		if !d.again(errno, unix.POLLIN) {
			return nil, errnoOf(errno)
		}
	}
}

// sockShutdown ends one or both directions of a connection: (fd, how: sdflags). As
// shutdown(2), and EBADF, EINVAL for no or other flags, ENOTCAPABLE, ENOTCONN, ENOTSOCK.
func sockShutdown(s *System, _ memory, a arguments) Errno {
	how := a.u32(1)
	if how == 0 || how&^allSdflags != 0 {
		return EINVAL
	}
	d, e := s.files.get(a.u32(0), SockShutdown)
	if e != ESUCCESS {
		return e
	}
	return errnoOf(unix.Shutdown(d.fd, [...]int{shutRead: unix.SHUT_RD, shutWrite: unix.SHUT_WR, allSdflags: unix.SHUT_RDWR}[how]))
}

// inspectSocket finds out what a socket is.
func (d *descriptor) inspectSocket() error {
	kind, err := unix.GetsockoptInt(d.fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return fmt.Errorf("type of the socket: %w", err)
	}
	listens, err := unix.GetsockoptInt(d.fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil {
		return fmt.Errorf("state of the socket: %w", err)
	}
	d.base, d.inherit = rightsOfSocket, 0
	switch {
	case listens != 0:
		d.listens, d.base, d.inherit = true, rightsOfListener, rightsOfSocket
	case kind == unix.SOCK_DGRAM:
		d.kind = SocketDgram
	}
	return nil
}

// again tells to repeat a call that an error has interrupted: by a signal, or
// because a patient descriptor has nothing yet; then it has by now.
func (d *descriptor) again(err error, events int16) bool {
	switch {
	case errors.Is(err, unix.EINTR):
		return true
	case !d.patient || !errors.Is(err, unix.EAGAIN):
		return false
	}
	polled := [1]unix.PollFd{{Fd: int32(d.fd), Events: events}}
	_, err = unix.Ppoll(polled[:], nil, nil)
	return err == nil || errors.Is(err, unix.EINTR)
}

// socketCall is recvfrom or sendto, without an address.
func socketCall(trap uintptr, fd int, buffer []byte, flags int) (int, error) {
	n, _, errno := unix.Syscall6(trap, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(buffer))), uintptr(len(buffer)), uintptr(flags), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
