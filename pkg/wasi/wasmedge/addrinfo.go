package wasmedge

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"strconv"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/network"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi/preview1"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi/wasmedge/resolve"
)

// Errors of sock_getaddrinfo besides those of preview 1, by WasmEdge's numbers. They
// are getaddrinfo(3)'s EAI_….
const (
	aiAddrFamily preview1.Errno = 77 + iota
	aiAgain
	aiBadFlags
	aiFail
	aiFamily
	aiMemory
	aiNoData
	aiNoName
	aiService
	aiSocktype
	aiSystem
)

// Flags of hints.
const (
	aiPassive = 1 << iota
	aiCanonname
	aiNumericHost
	aiNumericService
	aiV4Mapped
	aiAll
	aiAddrConfig
	aiFlags = aiPassive | aiCanonname | aiNumericHost | aiNumericService | aiV4Mapped | aiAll | aiAddrConfig
)

// Protocols, by WasmEdge's numbers.
const (
	protocolAny = iota
	protocolTCP
	protocolUDP
)

// hints are what a guest asks for.
type hints struct {
	flags                  uint16
	family, kind, protocol uint8
}

// transport is a type of socket and the protocol that goes with it.
type transport struct {
	kind, protocol uint8
	name           string
}

var transports = []transport{{typeStream, protocolTCP, resolve.TCP}, {typeDatagram, protocolUDP, resolve.UDP}}

// result is one of sock_getaddrinfo.
type result struct {
	transport
	at        netip.AddrPort
	canonical string
}

// sockGetaddrinfo finds addresses of a name and a service: (node, node_len, service,
// service_len, hints, res: pointer to a pointer to the first of a chain of structs,
// max_res_len: their number, res_len: pointer to how many are filled in). As
// getaddrinfo(3), with errors of its own, and EACCES by the policy, EFAULT.
func sockGetaddrinfo(c call) preview1.Errno {
	if e := permit(c, network.Full); e != preview1.ESUCCESS {
		return e
	}
	node, e := text(c, c.Arg(0), c.Arg(1))
	if e != preview1.ESUCCESS {
		return e
	}
	service, e := text(c, c.Arg(2), c.Arg(3))
	if e != preview1.ESUCCESS {
		return e
	}
	h, e := readHints(c, c.Arg(4))
	if e != preview1.ESUCCESS {
		return e
	}
	first, ok := c.Bytes(c.Arg(5), 4)
	count, countOK := c.Bytes(c.Arg(7), 4)
	if !ok || !countOK {
		return preview1.EFAULT
	}
	if c.Arg(6) == 0 {
		return aiMemory
	}
	results, e := h.find(resolve.System, node, service)
	if e != preview1.ESUCCESS {
		return e
	}
	n, e := writeResults(c, binary.LittleEndian.Uint32(first), c.Arg(6), results)
	if e == preview1.ESUCCESS {
		put32(count, n)
	}
	return e
}

// maxText bounds names in bytes.
const maxText = 1024

// text is a string of a guest, which may end with a zero byte.
func text(c call, at, size uint32) (string, preview1.Errno) {
	if size > maxText {
		return "", aiNoName
	}
	b, ok := c.Bytes(at, size)
	if !ok {
		return "", preview1.EFAULT
	}
	b, _, _ = bytes.Cut(b, []byte{0})
	return string(b), preview1.ESUCCESS
}

func readHints(c call, at uint32) (h hints, e preview1.Errno) {
	if at == 0 {
		return h, preview1.ESUCCESS
	}
	b, ok := c.Bytes(at, infoSize)
	if !ok {
		return h, preview1.EFAULT
	}
	// Where the protocol has one byte, there is nothing in particular behind it.
	return hints{binary.LittleEndian.Uint16(b[infoFlags:]), b[infoFamily], b[infoType], b[infoProtocol]}, preview1.ESUCCESS
}

// check refuses what getaddrinfo(3) does.
func (h hints) check(node, service string) preview1.Errno {
	switch {
	case node == "" && service == "":
		return aiNoName
	case h.flags&^aiFlags != 0, h.flags&aiCanonname != 0 && node == "":
		return aiBadFlags
	case h.family > familyInet6:
		return aiFamily
	case h.kind > typeStream, h.protocol > protocolUDP, len(h.transports()) == 0:
		return aiSocktype
	}
	return preview1.ESUCCESS
}

// transports are those that a guest asks for.
func (h hints) transports() []transport {
	return slices.DeleteFunc(slices.Clone(transports), func(t transport) bool {
		return h.kind != typeAny && h.kind != t.kind || h.protocol != protocolAny && h.protocol != t.protocol
	})
}

func (h hints) families() resolve.Families {
	return resolve.Families{V4: h.family != familyInet6, V6: h.family != familyInet4}
}

// find makes all combinations of addresses and services.
func (h hints) find(r resolve.Resolver, node, service string) ([]result, preview1.Errno) {
	if e := h.check(node, service); e != preview1.ESUCCESS {
		return nil, e
	}
	ports, e := h.ports(r, service)
	if e != preview1.ESUCCESS {
		return nil, e
	}
	answer, e := h.addresses(r, node)
	if e != preview1.ESUCCESS {
		return nil, e
	}
	if h.flags&aiCanonname == 0 {
		answer.Canonical = ""
	}
	var results []result
	for _, a := range answer.Addrs {
		for _, t := range h.transports() {
			if port, ok := ports[t.name]; ok {
				results = append(results, result{t, netip.AddrPortFrom(a, port), answer.Canonical})
				answer.Canonical = "" // the first alone has it
			}
		}
	}
	return results, preview1.ESUCCESS
}

// ports are those of a service by protocol.
func (h hints) ports(r resolve.Resolver, service string) (map[string]uint16, preview1.Errno) {
	ports := map[string]uint16{}
	number, err := strconv.ParseUint(service, 10, 16)
	numeric := err == nil || service == ""
	if !numeric && h.flags&aiNumericService != 0 {
		return nil, aiNoName
	}
	for _, t := range h.transports() {
		if numeric {
			ports[t.name] = uint16(number)
		} else if port, ok := r.Port(service, t.name); ok {
			ports[t.name] = port
		}
	}
	if len(ports) == 0 {
		return nil, aiService
	}
	return ports, preview1.ESUCCESS
}

// addresses are those of a node.
func (h hints) addresses(r resolve.Resolver, node string) (a resolve.Answer, e preview1.Errno) {
	f := h.families()
	if node == "" {
		return own(f, h.flags&aiPassive != 0), preview1.ESUCCESS
	}
	if ip, err := netip.ParseAddr(node); err == nil && ip.Zone() == "" {
		return h.number(ip, node)
	}
	if h.flags&aiNumericHost != 0 {
		return a, aiNoName
	}
	a, err := r.Lookup(node, f)
	if h.flags&aiV4Mapped != 0 && !f.V4 && (h.flags&aiAll != 0 || errors.Is(err, resolve.ErrNoData)) {
		four, errFour := r.Lookup(node, resolve.Families{V4: true})
		if a, err = mapped(a, err, four, errFour); err == nil {
			return a, preview1.ESUCCESS
		}
	}
	if err != nil {
		return a, errnoOfLookup(err)
	}
	a.ReachableFirst()
	if h.flags&aiAddrConfig != 0 {
		a.Addrs = slices.DeleteFunc(a.Addrs, func(ip netip.Addr) bool { return !resolve.Reachable(ip) && !ip.IsLoopback() })
		if len(a.Addrs) == 0 {
			return a, aiNoData
		}
	}
	return a, preview1.ESUCCESS
}

// own are the addresses of nobody else: to listen at, or to reach oneself.
func own(f resolve.Families, passive bool) (a resolve.Answer) {
	four, six := netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()
	if passive {
		four, six = netip.IPv4Unspecified(), netip.IPv6Unspecified()
	}
	if f.V4 {
		a.Addrs = append(a.Addrs, four)
	}
	if f.V6 {
		a.Addrs = append(a.Addrs, six)
	}
	return a
}

// number is an address that is written as one.
func (h hints) number(ip netip.Addr, node string) (a resolve.Answer, e preview1.Errno) {
	f := h.families()
	switch {
	case ip.Is4() && f.V4, ip.Is6() && f.V6:
	case ip.Is4() && h.flags&aiV4Mapped != 0:
		ip = netip.AddrFrom16(ip.As16())
	default:
		return a, aiAddrFamily
	}
	return resolve.Answer{Canonical: node, Addrs: []netip.Addr{ip}}, preview1.ESUCCESS
}

// mapped adds addresses of IPv4 to those of IPv6, as ones of those.
func mapped(six resolve.Answer, errSix error, four resolve.Answer, errFour error) (resolve.Answer, error) {
	if errFour != nil {
		return six, errSix
	}
	if errSix != nil {
		six = resolve.Answer{Canonical: four.Canonical}
	}
	for _, ip := range four.Addrs {
		six.Addrs = append(six.Addrs, netip.AddrFrom16(ip.As16()))
	}
	return six, nil
}

func errnoOfLookup(err error) preview1.Errno {
	switch {
	case errors.Is(err, resolve.ErrNoName):
		return aiNoName
	case errors.Is(err, resolve.ErrNoData):
		return aiNoData
	case errors.Is(err, resolve.ErrAgain):
		return aiAgain
	default:
		return aiFail
	}
}
