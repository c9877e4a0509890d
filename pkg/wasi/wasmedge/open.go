package wasmedge

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/network"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi/preview1"
)

// Types of sockets, by WasmEdge's numbers.
const (
	typeAny = iota
	typeDatagram
	typeStream
)

// permit is EACCES if the policy of the network allows less than it takes.
func permit(c call, takes network.Policy) preview1.Errno {
	if c.Network() > takes {
		return preview1.EACCES
	}
	return preview1.ESUCCESS
}

// socketOf finds the socket fd of (fd, …), for what takes a policy.
func socketOf(c call, takes network.Policy) (preview1.Socket, preview1.Errno) {
	if e := permit(c, takes); e != preview1.ESUCCESS {
		return preview1.Socket{}, e
	}
	return c.Socket(c.Arg(0), 0)
}

// sockOpen makes a socket for TCP or UDP: (family, type, fd: pointer to it). As
// socket(2), and EACCES by the policy, EAFNOSUPPORT for unix sockets, EFAULT, EINVAL,
// EMFILE.
func sockOpen(c call) preview1.Errno {
	if e := permit(c, network.Full); e != preview1.ESUCCESS {
		return e
	}
	var domain, kind int
	switch c.Arg(0) {
	case familyInet4:
		domain = unix.AF_INET
	case familyInet6:
		domain = unix.AF_INET6
	case familyUnix:
		return preview1.EAFNOSUPPORT
	default:
		return preview1.EINVAL
	}
	filetype := preview1.SocketStream
	switch c.Arg(1) {
	case typeStream:
		kind = unix.SOCK_STREAM
	case typeDatagram:
		kind, filetype = unix.SOCK_DGRAM, preview1.SocketDgram
	default:
		return preview1.EINVAL
	}
	if _, ok := c.Bytes(c.Arg(2), 4); !ok {
		return preview1.EFAULT
	}
	fd, err := unix.Socket(domain, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil && c.Spare(err) {
		fd, err = unix.Socket(domain, kind|unix.SOCK_CLOEXEC, 0)
	}
	if err != nil {
		return preview1.ErrnoOf(err)
	}
	number, e := c.AddSocket(fd, filetype)
	if e != preview1.ESUCCESS {
		return e
	}
	return c.Put32(c.Arg(2), number)
}

// target finds the socket and reads the address of (fd, address, port), for what
// takes the policy that allows everything.
func target(c call) (s preview1.Socket, a sockaddr, e preview1.Errno) {
	if s, e = socketOf(c, network.Full); e != preview1.ESUCCESS {
		return s, a, e
	}
	at, e := address(c, c.Arg(1), c.Arg(2))
	if e != preview1.ESUCCESS {
		return s, a, e
	}
	return s, sockaddrOf(at), e
}

// sockBind gives a socket an address: (fd, address, port). As bind(2), and EACCES by
// the policy, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT for a unix socket's, EBADF, EFAULT,
// EINVAL for what is no address or port, ENOTSOCK.
func sockBind(c call) preview1.Errno {
	s, a, e := target(c)
	if e != preview1.ESUCCESS {
		return e
	}
	return preview1.ErrnoOf(a.call(unix.SYS_BIND, s.FD()))
}

// sockConnect connects a socket: (fd, address, port). As connect(2), and EACCES by
// the policy, EAFNOSUPPORT for a unix socket's, EBADF, ECONNREFUSED, EFAULT, EINVAL for
// what is no address or port, EISCONN, ENOTSOCK. EINPROGRESS of a socket that does not
// block is followed by poll_oneoff for writing, and the option SO_ERROR.
func sockConnect(c call) preview1.Errno {
	s, a, e := target(c)
	if e != preview1.ESUCCESS {
		return e
	}
	err := a.call(unix.SYS_CONNECT, s.FD())
	if errors.Is(err, unix.EINTR) { // it goes on, and must not be asked for again
		err = connected(s.FD())
	}
	return preview1.ErrnoOf(err)
}

// connected waits for the end of a connection attempt.
func connected(fd int) error {
	for {
		_, err := unix.Ppoll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, nil, nil)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
	failed, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && failed != 0 {
		err = unix.Errno(failed)
	}
	return err
}

// sockListen makes a socket accept connections: (fd, backlog). As listen(2), and
// EACCES by the policy, EBADF, EINVAL for a connection, ENOTSOCK, ENOTSUP for datagrams.
func sockListen(c call) preview1.Errno {
	s, e := socketOf(c, network.Full)
	if e != preview1.ESUCCESS {
		return e
	}
	return s.Listen(int(int32(c.Arg(1))))
}

// sockAccept1 takes a connection: (fd, fd: pointer to the new one). As accept(2), and
// EAGAIN, EBADF, EFAULT, EINVAL for what does not listen, ENOTCAPABLE, ENOTSOCK, ENOTSUP
// for datagrams.
func sockAccept1(c call) preview1.Errno {
	s, e := c.Socket(c.Arg(0), preview1.SockAccept)
	if e != preview1.ESUCCESS {
		return e
	}
	if _, ok := c.Bytes(c.Arg(1), 4); !ok {
		return preview1.EFAULT
	}
	number, e := c.Accept(s)
	if e != preview1.ESUCCESS {
		return e
	}
	return c.Put32(c.Arg(1), number)
}
