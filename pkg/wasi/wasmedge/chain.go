package wasmedge

import (
	"encoding/binary"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi/preview1"
)

// Offsets in a guest's struct of sock_getaddrinfo, and its size in bytes.
const (
	infoFlags           = 0
	infoFamily          = 2
	infoType            = 3
	infoProtocol        = 4
	infoAddressLength   = 8
	infoAddress         = 12
	infoCanonical       = 16
	infoCanonicalLength = 20
	infoNext            = 24
	infoSize            = 28
)

// Offsets in the struct that is its address, and its size in bytes.
const (
	sockaddrFamily = 0
	sockaddrLength = 4
	sockaddrData   = 8
	sockaddrSize   = 12
)

// Lengths in bytes of an address as C has it (struct sockaddr_in, sockaddr_in6), and
// of it without its family, which is what is written.
const (
	inet4Length, inet4Data = 16, 14
	inet6Length, inet6Data = 28, 26
	// inet4Needed is without what means nothing.
	inet4Needed = 6
)

// writeResults fills the structs of a chain, with as many results as there are
// structs and room in them. EFAULT.
func writeResults(c call, at, most uint32, results []result) (n uint32, e preview1.Errno) {
	for _, r := range results {
		if n == most || at == 0 {
			break
		}
		info, ok := c.Bytes(at, infoSize)
		if !ok {
			return 0, preview1.EFAULT
		}
		filled, e := writeResult(c, info, r)
		if e != preview1.ESUCCESS {
			return 0, e
		}
		if filled {
			at = binary.LittleEndian.Uint32(info[infoNext:])
			n++
		}
	}
	return n, preview1.ESUCCESS
}

// writeResult fills one struct, and tells whether the address had room.
func writeResult(c call, info []byte, r result) (filled bool, e preview1.Errno) {
	little := binary.LittleEndian
	address, ok := c.Bytes(little.Uint32(info[infoAddress:]), sockaddrSize)
	if !ok || little.Uint32(info[infoAddress:]) == 0 {
		return false, preview1.EFAULT
	}
	room := little.Uint32(address[sockaddrLength:])
	data, ok := c.Bytes(little.Uint32(address[sockaddrData:]), room)
	if !ok {
		return false, preview1.EFAULT
	}
	value, length := addressData(r, int(little.Uint32(info[infoAddressLength:])), len(data))
	if len(data) < len(value) {
		return false, preview1.ESUCCESS
	}
	canonicalLength, e := writeCanonical(c, info, r.canonical)
	if e != preview1.ESUCCESS {
		return false, e
	}
	family := byte(familyInet4)
	if r.at.Addr().Is6() {
		family = familyInet6
	}
	copy(data, value)
	address[sockaddrFamily] = family
	put32(address[sockaddrLength:], uint32(len(value)))
	put16(info[infoFlags:], 0)
	info[infoFamily], info[infoType] = family, r.kind
	put32(info[infoProtocol:], uint32(r.protocol))
	put32(info[infoAddressLength:], uint32(length))
	put32(info[infoCanonicalLength:], canonicalLength)
	return true, preview1.ESUCCESS
}

// addressData is the address without its family, and its length with it. The Go
// module reads IPv6 where IPv4 is, without the flow before it; it is known by the
// lengths that it passes.
func addressData(r result, lengthBefore, room int) (data []byte, length int) {
	data = binary.BigEndian.AppendUint16(nil, r.at.Port())
	if r.at.Addr().Is4() {
		data = append(append(data, r.at.Addr().AsSlice()...), make([]byte, 8)...)
		return data[:max(min(room, inet4Data), inet4Needed)], inet4Length
	}
	if lengthBefore == inet4Length && room == inet6Data {
		return append(append(data, r.at.Addr().AsSlice()...), make([]byte, 8)...), inet6Length
	}
	data = append(data, make([]byte, 4)...) // flow
	data = append(data, r.at.Addr().AsSlice()...)
	return append(data, make([]byte, 4)...), inet6Length // scope
}

// writeCanonical writes a name, if there is one and room for it, with a zero byte
// that is not counted.
func writeCanonical(c call, info []byte, name string) (length uint32, e preview1.Errno) {
	little := binary.LittleEndian
	at, room := little.Uint32(info[infoCanonical:]), little.Uint32(info[infoCanonicalLength:])
	if name == "" || at == 0 || uint64(room) < uint64(len(name))+1 {
		return 0, preview1.ESUCCESS
	}
	into, ok := c.Bytes(at, room)
	if !ok {
		return 0, preview1.EFAULT
	}
	into[copy(into, name)] = 0
	return uint32(len(name)), preview1.ESUCCESS
}
