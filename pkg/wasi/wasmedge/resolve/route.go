package resolve

import (
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// Reachable tells whether there is a route to an address. Nothing is sent.
func Reachable(a netip.Addr) bool {
	family := unix.AF_INET6
	if a.Is4() {
		family = unix.AF_INET
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	const any = 9 // a port that counts no more than others
	return unix.Connect(fd, sockaddr(netip.AddrPortFrom(a, any))) == nil
}

// ReachableFirst sorts those addresses last to which there is no route, as RFC 6724
// has it, and leaves the rest to the order that they have.
func (a Answer) ReachableFirst() {
	if len(a.Addrs) < 2 {
		return
	}
	routes := make(map[netip.Addr]bool, len(a.Addrs))
	for _, addr := range a.Addrs {
		routes[addr] = Reachable(addr)
	}
	slices.SortStableFunc(a.Addrs, func(x, y netip.Addr) int {
		switch {
		case routes[x] == routes[y]:
			return 0
		case routes[x]:
			return -1
		default:
			return 1
		}
	})
}
