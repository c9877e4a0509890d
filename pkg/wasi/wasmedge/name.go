package wasmedge

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/network"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi/preview1"
)

// sockGetlocaladdr1 tells a socket's address: (fd, address, kind: pointer to 4 or 6,
// port: pointer). As getsockname(2), and EACCES by the policy, EAFNOSUPPORT for a unix
// socket's in a buffer for other addresses, EBADF, EFAULT, EINVAL for a buffer that is too
// short, ENOTSOCK.
func sockGetlocaladdr1(c call) preview1.Errno {
	return tellAddress(c, unix.SYS_GETSOCKNAME, c.Arg(2), c.Arg(3))
}

// sockGetlocaladdr2 is sockGetlocaladdr1 without a kind: (fd, address, port).
func sockGetlocaladdr2(c call) preview1.Errno {
	return tellAddress(c, unix.SYS_GETSOCKNAME, 0, c.Arg(2))
}

// sockGetpeeraddr1 tells the address of the other end: (fd, address, kind: pointer to
// 4 or 6, port: pointer). As getpeername(2), and EACCES by the policy, EAFNOSUPPORT for a
// unix socket's in a buffer for other addresses, EBADF, EFAULT, EINVAL for a buffer that
// is too short, ENOTCONN, ENOTSOCK.
func sockGetpeeraddr1(c call) preview1.Errno {
	return tellAddress(c, unix.SYS_GETPEERNAME, c.Arg(2), c.Arg(3))
}

// sockGetpeeraddr2 is sockGetpeeraddr1 without a kind: (fd, address, port).
func sockGetpeeraddr2(c call) preview1.Errno {
	return tellAddress(c, unix.SYS_GETPEERNAME, 0, c.Arg(2))
}

// tellAddress writes an address, and its kind unless that is 0.
func tellAddress(c call, trap uintptr, kindAt, portAt uint32) preview1.Errno {
	if e := permit(c, network.Listen); e != preview1.ESUCCESS {
		return e
	}
	s, e := c.Socket(c.Arg(0), 0)
	if e != preview1.ESUCCESS {
		return e
	}
	into, e := buffer(c, c.Arg(1))
	if e != preview1.ESUCCESS {
		return e
	}
	var a sockaddr
	if err := a.fill(trap, s.FD()); err != nil {
		return preview1.ErrnoOf(err)
	}
	kind, port, e := a.encode(into)
	if e != preview1.ESUCCESS {
		return e
	}
	if kindAt != 0 {
		if e := c.Put32(kindAt, kind); e != preview1.ESUCCESS {
			return e
		}
	}
	return c.Put32(portAt, port)
}

func put32(at []byte, v uint32) { binary.LittleEndian.PutUint32(at, v) }
func put16(at []byte, v uint16) { binary.LittleEndian.PutUint16(at, v) }
