// Package resolve finds the addresses of names as a container's C library would: by
// /etc/hosts, and by the name servers of /etc/resolv.conf.
//
// Go's own resolver waits for its sockets by epoll, which the process of a guest
// must not use; this one waits by ppoll. Calls take as long as the name servers let
// them.
package resolve

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
)

// Errors of Lookup, as getaddrinfo(3) distinguishes them.
var (
	// ErrNoName: there is no such name.
	ErrNoName = errors.New("name not known")
	// ErrNoData: the name has no address of the kinds that were asked for.
	ErrNoData = errors.New("name has no such address")
	// ErrAgain: no name server could tell.
	ErrAgain = errors.New("temporary failure of name resolution")
)

// Families are the kinds of addresses that are wanted.
type Families struct{ V4, V6 bool }

// has tells whether an address is of them.
func (f Families) has(a netip.Addr) bool { return a.Is4() && f.V4 || a.Is6() && f.V6 }

// Resolver is where to look.
type Resolver struct {
	// Conf, Hosts and Services are files, of which none has to be there.
	Conf, Hosts, Services string
}

// System is what a container has.
var System = Resolver{Conf: "/etc/resolv.conf", Hosts: "/etc/hosts", Services: "/etc/services"}

// Answer is what is known of a name.
type Answer struct {
	// Canonical is the name that others are aliases of, without a final dot.
	Canonical string
	Addrs     []netip.Addr
}

// maxName bounds a name in bytes, without the final dot (RFC 1035, 3.1).
const maxName = 253

// Lookup finds the addresses of a name, IPv4 ones first. An error is one of those
// above.
func (r Resolver) Lookup(name string, f Families) (Answer, error) {
	plain := strings.TrimSuffix(name, ".")
	if plain == "" || len(plain) > maxName || strings.ContainsFunc(plain, unprintable) {
		return Answer{}, ErrNoName
	}
	if a, ok := lookupHosts(readFile(r.Hosts), plain, f); ok {
		return a.orNoData()
	}
	if a, ok := loopback(plain, f); ok {
		return a.orNoData()
	}
	conf := parseConf(readFile(r.Conf))
	none := ErrNoName
	for _, candidate := range conf.candidates(name) {
		a, err := conf.query(candidate, f)
		switch {
		case err == nil:
			return a, nil
		case errors.Is(err, ErrNoData):
			none = err
		case errors.Is(err, ErrAgain):
			return Answer{}, err
		}
	}
	return Answer{}, none
}

func (a Answer) orNoData() (Answer, error) {
	if len(a.Addrs) == 0 {
		return a, ErrNoData
	}
	slices.SortStableFunc(a.Addrs, func(x, y netip.Addr) int { return x.BitLen() - y.BitLen() })
	return a, nil
}

// loopback are names that no name server is asked for (RFC 6761, 6.3).
func loopback(name string, f Families) (a Answer, ok bool) {
	lower := strings.ToLower(name)
	if lower != "localhost" && !strings.HasSuffix(lower, ".localhost") {
		return a, false
	}
	a.Canonical = name
	for _, addr := range []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()} {
		if f.has(addr) {
			a.Addrs = append(a.Addrs, addr)
		}
	}
	return a, true
}

func unprintable(c rune) bool { return c <= ' ' || c == 0x7f }
