package wasmedge

import (
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi/preview1"
)

// roomForSender refuses to receive into a buffer for the address of who sends that is too
// short for it: what comes would be taken, and lost with the error. It tells by the
// socket's family, of which all its addresses are. EINVAL, EAFNOSUPPORT.
func roomForSender(s preview1.Socket, into []byte) preview1.Errno {
	if len(into) >= wideAddress {
		return preview1.ESUCCESS
	}
	family, err := unix.GetsockoptInt(s.FD(), unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return preview1.ErrnoOf(err)
	}
	needed := 0 // of a stream there is no address, but of a unix socket
	switch {
	case family == unix.AF_UNIX:
		return roomForUnixSender(s, into)
	case s.IsDatagram() && family == unix.AF_INET6:
		needed = inet6Address
	case s.IsDatagram() && family == unix.AF_INET:
		needed = inet4Address
	}
	if len(into) < needed {
		return preview1.EINVAL
	}
	return preview1.ESUCCESS
}

// roomForUnixSender has to look at what comes: most who send have no address.
func roomForUnixSender(s preview1.Socket, into []byte) preview1.Errno {
	var from sockaddr
	if _, _, err := receive(s, [][]byte{make([]byte, 1)}, flagPeek, &from); err != nil {
		return preview1.ErrnoOf(err)
	}
	_, _, e := from.encode(into)
	return e
}
