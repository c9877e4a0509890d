// Package listen is about the sockets that a guest finds open when it starts: a
// WASI preview 1 guest cannot make any, so its container asks for them.
//
// Whoever plans the container parses what it asks for, and the process that is to
// run the guest opens it, in the container's namespaces. Guests know their sockets
// by the environment variables of systemd's socket activation, sd_listen_fds(3).
package listen

import (
	"fmt"
	"net/netip"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/packed"
)

// Socket is one that a container asks for.
type Socket struct {
	// Name is for the guest to know it by; it may be empty.
	Name string
	// Network is "tcp", "udp" or "unix".
	Network string
	// Address is an IP address and a port, or a port after a colon for all
	// addresses; or the absolute path of a unix socket.
	Address string
	Mode    Mode
}

// Mode is what happens when a guest accepts, or receives, and there is nothing.
type Mode int

const (
	// Patient sockets do not block, and say so. A guest that has not asked whether
	// they do waits all the same. So Go's runtime, which asks, goes on with other
	// goroutines, and accept(2) in C does what its caller expects.
	Patient Mode = iota
	// Blocking sockets always wait.
	Blocking
	// Nonblocking sockets never do.
	Nonblocking
)

// String is the socket as a container asks for it, without options.
func (s Socket) String() string {
	text := s.Network + "://" + s.Address
	if s.Name != "" {
		return s.Name + "=" + text
	}
	return text
}

// Pack writes or reads a socket.
func (s *Socket) Pack(c *packed.Coder) {
	c.String(&s.Name)
	c.String(&s.Network)
	c.String(&s.Address)
	c.Int((*int)(&s.Mode))
}

// firstFree is the first port that anybody may have, unless the sysctl
// net.ipv4.ip_unprivileged_port_start says otherwise.
const firstFree = 1024

// Privileged tells that the socket may need CAP_NET_BIND_SERVICE.
func (s Socket) Privileged() bool {
	if s.Network == unixNetwork {
		return false
	}
	a, err := addrPort(s.Address)
	return err == nil && a.Port() < firstFree
}

// addrPort reads an address. The one of ":80" is not valid.
func addrPort(address string) (netip.AddrPort, error) {
	if len(address) == 0 || address[0] != ':' {
		return netip.ParseAddrPort(address)
	}
	a, err := netip.ParseAddrPort("0.0.0.0" + address)
	if err != nil {
		return a, fmt.Errorf("the port of %q: %w", address, err)
	}
	return netip.AddrPortFrom(netip.Addr{}, a.Port()), nil
}
