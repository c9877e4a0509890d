package listen

import (
	"errors"
	"fmt"
	"math"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Open makes the socket, in the namespaces of the process and with what it may do.
// It closes on exec, and blocks if its mode is to.
//
// A unix socket replaces the file of one that nobody listens at any more, which a
// process leaves behind when it is killed; nothing else that has its name.
//
// The error is a sentence that names the socket.
func (s Socket) Open() (fd int, err error) {
	if s.Network == unixNetwork {
		fd, err = s.openUnix()
	} else {
		fd, err = s.openPort()
	}
	if err != nil {
		return -1, fmt.Errorf("listener %q: %w", s, s.explain(err))
	}
	return fd, nil
}

// explain adds to an error what to do about it.
func (s Socket) explain(err error) error {
	switch {
	case s.Network == unixNetwork:
		return err
	case errors.Is(err, unix.EADDRINUSE):
		return fmt.Errorf("%w: another process of the pod or the network has it; choose another port", err)
	case errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w: choose a port from %d on, or give the container the capability NET_BIND_SERVICE", err, firstFree)
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return fmt.Errorf("%w: the container has no such address; use 0.0.0.0 or [::] for all that it has", err)
	}
	return err
}

func (s Socket) socket(family, kind int) (int, error) {
	if s.Mode != Blocking {
		kind |= unix.SOCK_NONBLOCK
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("make a socket: %w", err)
	}
	return fd, nil
}

func (s Socket) openPort() (int, error) {
	a, err := addrPort(s.Address)
	if err != nil {
		return -1, err
	}
	if a.Addr().IsValid() {
		return s.openAt(a, nil)
	}
	// All addresses: those of IPv6 include those of IPv4, if there is IPv6.
	fd, err := s.openAt(netip.AddrPortFrom(netip.IPv6Unspecified(), a.Port()), both)
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL) {
		return s.openAt(netip.AddrPortFrom(netip.IPv4Unspecified(), a.Port()), nil)
	}
	return fd, err
}

// both makes an IPv6 socket one of IPv4, too, whatever the sysctl net.ipv6.bindv6only says.
func both(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0); err != nil {
		return fmt.Errorf("set an option: %w", err)
	}
	return nil
}

// openAt makes a socket at one address. prepare may be nil.
func (s Socket) openAt(a netip.AddrPort, prepare func(fd int) error) (_ int, err error) {
	family, kind := unix.AF_INET6, unix.SOCK_STREAM
	var address unix.Sockaddr = &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
	if a.Addr().Is4() {
		family, address = unix.AF_INET, &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	if s.Network == udpNetwork {
		kind = unix.SOCK_DGRAM
	}
	fd, err := s.socket(family, kind)
	if err != nil {
		return -1, err
	}
	defer closeOnError(fd, &err)
	if s.Network == tcpNetwork {
		if err := setTCP(fd); err != nil {
			return -1, err
		}
	}
	if prepare != nil {
		if err := prepare(fd); err != nil {
			return -1, err
		}
	}
	if err := unix.Bind(fd, address); err != nil {
		return -1, fmt.Errorf("bind: %w", err)
	}
	if s.Network == tcpNetwork {
		return fd, listenAt(fd)
	}
	return fd, nil
}

// setTCP sets what connections inherit, of which guests have no way to ask: what Go
// sets for each natively. A port of which connections linger can be had again.
func setTCP(fd int) error {
	for _, option := range []struct{ level, name int }{
		{unix.SOL_SOCKET, unix.SO_REUSEADDR},
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE},
		{unix.IPPROTO_TCP, unix.TCP_NODELAY},
	} {
		if err := unix.SetsockoptInt(fd, option.level, option.name, 1); err != nil {
			return fmt.Errorf("set an option: %w", err)
		}
	}
	return nil
}

// listenAt lets as many connections wait as the sysctl net.core.somaxconn allows.
func listenAt(fd int) error {
	if err := unix.Listen(fd, math.MaxInt32); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	return nil
}

func closeOnError(fd int, err *error) {
	if *err != nil {
		unix.Close(fd)
	}
}
