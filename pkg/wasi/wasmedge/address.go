package wasmedge

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi/preview1"
)

// Families of addresses, by WasmEdge's numbers.
const (
	familyUnspecified = iota
	familyInet4
	familyInet6
	familyUnix
)

// wideAddress is the length in bytes of an address of the second version: its
// family in two bytes, and the address behind them.
const (
	wideAddress  = 128
	familyLength = 2
)

// inet4Address and inet6Address are the lengths in bytes of addresses of the first version.
const (
	inet4Address = 4
	inet6Address = 16
)

// buffer is the memory that a guest's {pointer, length} names.
func buffer(c call, at uint32) ([]byte, preview1.Errno) {
	pair, ok := c.Bytes(at, 8)
	if !ok {
		return nil, preview1.EFAULT
	}
	part, ok := c.Bytes(binary.LittleEndian.Uint32(pair), binary.LittleEndian.Uint32(pair[4:]))
	if !ok {
		return nil, preview1.EFAULT
	}
	return part, preview1.ESUCCESS
}

// address reads a {pointer, length} of an address, and adds a port to it.
func address(c call, at, port uint32) (netip.AddrPort, preview1.Errno) {
	b, e := buffer(c, at)
	if e != preview1.ESUCCESS {
		return netip.AddrPort{}, e
	}
	return decodeAddress(b, port)
}

// decodeAddress: EAFNOSUPPORT for a unix socket's, EINVAL for what is none.
func decodeAddress(b []byte, port uint32) (a netip.AddrPort, e preview1.Errno) {
	if port > 0xffff {
		return a, preview1.EINVAL
	}
	if len(b) == wideAddress {
		family := binary.LittleEndian.Uint16(b)
		switch b = b[familyLength:]; family {
		case familyInet4:
			b = b[:inet4Address]
		case familyInet6:
			b = b[:inet6Address]
		case familyUnix:
			return a, preview1.EAFNOSUPPORT
		default:
			return a, preview1.EINVAL
		}
	}
	ip, ok := netip.AddrFromSlice(b)
	if !ok {
		return a, preview1.EINVAL
	}
	return netip.AddrPortFrom(ip, uint16(port)), preview1.ESUCCESS
}

// sockaddr is an address as system calls take it. It stays on the stack.
type sockaddr struct {
	raw  unix.RawSockaddrAny
	size uint32
}

// call makes a system call with a descriptor and the address.
func (s *sockaddr) call(trap uintptr, fd int) error {
	if _, _, errno := unix.Syscall(trap, uintptr(fd), uintptr(unsafe.Pointer(&s.raw)), uintptr(s.size)); errno != 0 {
		return errno
	}
	return nil
}

// fill makes a system call with a descriptor that writes the address.
func (s *sockaddr) fill(trap uintptr, fd int) error {
	s.size = unix.SizeofSockaddrAny
	if _, _, errno := unix.Syscall(trap, uintptr(fd), uintptr(unsafe.Pointer(&s.raw)), uintptr(unsafe.Pointer(&s.size))); errno != 0 {
		return errno
	}
	return nil
}

// sockaddrOf keeps the form of an address: one of IPv4 is for sockets of IPv4.
func sockaddrOf(a netip.AddrPort) (s sockaddr) {
	if a.Addr().Is4() {
		in := (*unix.RawSockaddrInet4)(unsafe.Pointer(&s.raw))
		*in = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: bigEndian(a.Port()), Addr: a.Addr().As4()}
		s.size = unix.SizeofSockaddrInet4
		return s
	}
	in := (*unix.RawSockaddrInet6)(unsafe.Pointer(&s.raw))
	*in = unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: bigEndian(a.Port()), Addr: a.Addr().As16()}
	s.size = unix.SizeofSockaddrInet6
	return s
}

// bigEndian is a port as it is in an address, and the other way round.
func bigEndian(port uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], port)
	return binary.NativeEndian.Uint16(b[:])
}

// kinds of addresses, as the first version tells them.
const (
	kindInet4 = 4
	kindInet6 = 6
)

// encode writes an address to a guest's buffer, in the form that its length asks
// for, and returns its kind and port. Of a stream there may be none, which leaves
// the buffer as it is. EINVAL if the buffer is too short, EAFNOSUPPORT for another
// family.
func (s *sockaddr) encode(b []byte) (kind, port uint32, e preview1.Errno) {
	if s.size < 2 {
		return 0, 0, preview1.ESUCCESS
	}
	var family uint16
	var bytes []byte
	switch s.raw.Addr.Family {
	case unix.AF_UNSPEC:
		return 0, 0, preview1.ESUCCESS
	case unix.AF_INET:
		in := (*unix.RawSockaddrInet4)(unsafe.Pointer(&s.raw))
		family, kind, port, bytes = familyInet4, kindInet4, uint32(bigEndian(in.Port)), in.Addr[:]
	case unix.AF_INET6:
		in := (*unix.RawSockaddrInet6)(unsafe.Pointer(&s.raw))
		family, kind, port, bytes = familyInet6, kindInet6, uint32(bigEndian(in.Port)), in.Addr[:]
	case unix.AF_UNIX:
		if len(b) < wideAddress {
			return 0, 0, preview1.EAFNOSUPPORT
		}
		family, bytes = familyUnix, s.path()
	default:
		return 0, 0, preview1.EAFNOSUPPORT
	}
	if len(b) >= wideAddress {
		binary.LittleEndian.PutUint16(b, family)
		b = b[familyLength:wideAddress]
		clear(b)
	}
	if len(b) < len(bytes) {
		return 0, 0, preview1.EINVAL
	}
	copy(b, bytes)
	return kind, port, preview1.ESUCCESS
}

// path is that of a unix socket, with "@" for the first byte of an abstract one.
func (s *sockaddr) path() []byte {
	un := (*unix.RawSockaddrUnix)(unsafe.Pointer(&s.raw))
	n := min(int(s.size)-int(unsafe.Offsetof(un.Path)), len(un.Path))
	var path []byte
	for i := range max(n, 0) {
		c := byte(un.Path[i])
		if i == 0 && c == 0 && n > 1 {
			c = '@'
		}
		if c == 0 {
			break
		}
		path = append(path, c)
	}
	return path
}
