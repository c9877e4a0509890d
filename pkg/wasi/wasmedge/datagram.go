package wasmedge

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/network"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi/preview1"
)

// Flags of receiving.
const (
	flagPeek = 1 << iota
	flagWaitall
	allFlags = flagPeek | flagWaitall
	// dataTruncated is a flag of what was received.
	dataTruncated = 1
)

// maxDatagram bounds what is gathered of several buffers, in bytes. There are no
// longer datagrams.
const maxDatagram = 64 << 10

// received are where sock_recv_from writes to.
type received struct{ address, port, size, flags uint32 }

// sockRecvFrom1 receives and tells from where: (fd, ri_data, ri_data_len, address,
// ri_flags, ro_datalen, ro_flags). As recvfrom(2), and EACCES by the policy,
// EAFNOSUPPORT for a unix socket's address in a buffer for others, EAGAIN, EBADF, EFAULT,
// EINVAL for other flags and for a buffer that is too short, ENOTCAPABLE, ENOTCONN, ENOTSOCK.
// With these errors nothing is received.
func sockRecvFrom1(c call) preview1.Errno {
	return receiveFrom(c, received{address: c.Arg(3), size: c.Arg(5), flags: c.Arg(6)})
}

// sockRecvFrom2 is sockRecvFrom1 with a port: (fd, ri_data, ri_data_len, address,
// ri_flags, port, ro_datalen, ro_flags).
func sockRecvFrom2(c call) preview1.Errno {
	return receiveFrom(c, received{address: c.Arg(3), port: c.Arg(5), size: c.Arg(6), flags: c.Arg(7)})
}

func receiveFrom(c call, to received) preview1.Errno {
	if e := permit(c, network.Listen); e != preview1.ESUCCESS {
		return e
	}
	if c.Arg(4)&^allFlags != 0 {
		return preview1.EINVAL
	}
	s, e := c.Socket(c.Arg(0), preview1.FDRead)
	if e != preview1.ESUCCESS {
		return e
	}
	buffers, e := c.Vectors(c.Arg(1), c.Arg(2))
	if e != preview1.ESUCCESS {
		return e
	}
	into, e := buffer(c, to.address)
	if e != preview1.ESUCCESS {
		return e
	}
	size, flags, e := to.check(c)
	if e != preview1.ESUCCESS {
		return e
	}
	if e := roomForSender(s, into); e != preview1.ESUCCESS {
		return e
	}
	var from sockaddr
	n, truncated, err := receive(s, buffers, int(c.Arg(4)), &from)
	if err != nil {
		return preview1.ErrnoOf(err)
	}
	_, port, e := from.encode(into)
	if e != preview1.ESUCCESS {
		return e
	}
	put32(size, uint32(n))
	put16(flags, truncated)
	if to.port != 0 {
		return c.Put32(to.port, port)
	}
	return preview1.ESUCCESS
}

// check finds the memory before anything is received, which would be lost.
func (to received) check(c call) (size, flags []byte, e preview1.Errno) {
	size, sizeOK := c.Bytes(to.size, 4)
	flags, flagsOK := c.Bytes(to.flags, 2)
	_, portOK := c.Bytes(to.port, 4)
	if !sizeOK || !flagsOK || to.port != 0 && !portOK {
		return nil, nil, preview1.EFAULT
	}
	return size, flags, preview1.ESUCCESS
}

// receive receives one message, or a part of a stream, into the buffers.
func receive(s preview1.Socket, buffers [][]byte, riflags int, from *sockaddr) (n int, truncated uint16, err error) {
	flags := 0
	if riflags&flagPeek != 0 {
		flags |= unix.MSG_PEEK
	}
	if riflags&flagWaitall != 0 {
		flags |= unix.MSG_WAITALL
	}
	if s.IsDatagram() {
		flags |= unix.MSG_TRUNC // to be told the length
	}
	whole := scratch(buffers)
	for {
		if n, err = from.receive(s.FD(), whole, flags); err == nil {
			break
		}
		if !s.Again(err, unix.POLLIN) {
			return 0, 0, err
		}
	}
	if n > len(whole) {
		n, truncated = len(whole), dataTruncated
	}
	if len(buffers) > 1 {
		for rest := whole[:n]; len(buffers) > 0; buffers = buffers[1:] {
			rest = rest[copy(buffers[0], rest):]
		}
	}
	return n, truncated, nil
}

// scratch is the one buffer, or memory for what is in several.
func scratch(buffers [][]byte) []byte {
	switch len(buffers) {
	case 0:
		return nil
	case 1:
		return buffers[0]
	}
	size := 0
	for _, b := range buffers {
		size = min(size+len(b), maxDatagram)
	}
	return make([]byte, size)
}

// sockSendTo sends to an address: (fd, si_data, si_data_len, address, port, si_flags:
// 0, so_datalen). As sendto(2), and EACCES by the policy, EAFNOSUPPORT for a unix
// socket's address, EBADF, EFAULT, EINVAL for flags and for what is no address or port,
// EMSGSIZE also for a datagram of more than 1024 buffers, ENOTCAPABLE, ENOTCONN for a
// listener, ENOTSOCK, EPIPE.
func sockSendTo(c call) preview1.Errno {
	if e := permit(c, network.Listen); e != preview1.ESUCCESS {
		return e
	}
	s, e := c.Socket(c.Arg(0), preview1.FDWrite)
	if e != preview1.ESUCCESS {
		return e
	}
	if c.Arg(5) != 0 {
		return preview1.EINVAL
	}
	buffers, e := c.Message(s, c.Arg(1), c.Arg(2))
	if e != preview1.ESUCCESS {
		return e
	}
	at, e := address(c, c.Arg(3), c.Arg(4))
	if e != preview1.ESUCCESS {
		return e
	}
	if _, ok := c.Bytes(c.Arg(6), 4); !ok {
		return preview1.EFAULT
	}
	message, e := gather(s, buffers)
	if e != preview1.ESUCCESS {
		return e
	}
	to := sockaddrOf(at)
	for {
		n, err := to.send(s.FD(), message)
		if err == nil {
			return c.Put32(c.Arg(6), uint32(n))
		}
		if !s.Again(err, unix.POLLOUT) {
			return preview1.ErrnoOf(err)
		}
	}
}

// gather makes one message of several buffers. EMSGSIZE if it is too long; of a
// stream it is a part then.
func gather(s preview1.Socket, buffers [][]byte) ([]byte, preview1.Errno) {
	if len(buffers) < 2 {
		return scratch(buffers), preview1.ESUCCESS
	}
	whole := scratch(buffers)
	rest := whole
	for _, b := range buffers {
		n := copy(rest, b)
		if n < len(b) && s.IsDatagram() {
			return nil, preview1.EMSGSIZE
		}
		rest = rest[n:]
	}
	return whole, preview1.ESUCCESS
}

// receive is recvfrom(2).
func (s *sockaddr) receive(fd int, b []byte, flags int) (int, error) {
	s.size = unix.SizeofSockaddrAny
	n, _, errno := unix.Syscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(pointer(b)), uintptr(len(b)), uintptr(flags),
		uintptr(unsafe.Pointer(&s.raw)), uintptr(unsafe.Pointer(&s.size)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// send is sendto(2).
func (s *sockaddr) send(fd int, b []byte) (int, error) {
	n, _, errno := unix.Syscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(pointer(b)), uintptr(len(b)), unix.MSG_NOSIGNAL,
		uintptr(unsafe.Pointer(&s.raw)), uintptr(s.size))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

var nothing byte

// pointer is to the first byte, or to one that is not used.
func pointer(b []byte) unsafe.Pointer {
	if len(b) == 0 {
		return unsafe.Pointer(&nothing)
	}
	return unsafe.Pointer(unsafe.SliceData(b))
}
