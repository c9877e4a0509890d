package escaped

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

func network() []Attack {
	open := func(name string, domain, kind, protocol int) Attack {
		return Attack{Name: name, Try: func(*Target) (string, error) {
			fd, err := unix.Socket(domain, kind, protocol)
			if err == nil {
				unix.Close(fd)
			}
			return "a socket", err
		}}
	}
	return []Attack{
		open("open a raw socket", unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP),
		open("open a packet socket", unix.AF_PACKET, unix.SOCK_RAW, 0),
		open("open a netlink socket", unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE),
		open("open a socket to the hypervisor", unix.AF_VSOCK, unix.SOCK_STREAM, 0),
		open("use the kernel's cryptography", unix.AF_ALG, unix.SOCK_SEQPACKET, 0),
		{Name: "open a pair of sockets", Try: func(*Target) (string, error) {
			fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
			if err == nil {
				unix.Close(fds[0])
				unix.Close(fds[1])
			}
			return "socketpair", err
		}},
		{Name: "connect to the host by TCP", Try: func(t *Target) (string, error) { return dial("tcp", t.TCP) }},
		{Name: "listen at a port", Try: func(*Target) (string, error) { return "a port", listen(0) }},
		{Name: "listen at a privileged port", Try: func(*Target) (string, error) { return "port 1", listen(1) }},
		{Name: "run a program in a socket", Try: func(*Target) (string, error) {
			return "a filter", withSocket(unix.SOCK_DGRAM, func(fd int) error {
				all := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 1 << 16}
				return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &all})
			})
		}},
		{Name: "take a descriptor from the shim", Try: func(*Target) (string, error) {
			return eachDescriptor(func(fd int) (string, error) {
				_, _, _, _, err := unix.Recvmsg(fd, make([]byte, 1), make([]byte, unix.CmsgSpace(4)), unix.MSG_DONTWAIT)
				return fmt.Sprintf("by %d", fd), unlessPermission(err, unix.EAGAIN)
			})
		}},
		{Name: "send a datagram", Try: func(*Target) (string, error) { return dial("udp", "127.0.0.1:53") }},
		{Name: "connect to an abstract socket", Try: func(t *Target) (string, error) { return dial("unix", t.Abstract) }},
		{Name: "connect to the shim's and the daemon's sockets", Try: func(t *Target) (string, error) {
			return anyOf(t.Sockets, func(path string) (string, error) { return dial("unix", path) })
		}},
		{Name: "use the shim's socket as one to others", Try: func(t *Target) (string, error) {
			return eachDescriptor(func(fd int) (string, error) {
				return fmt.Sprintf("by %d", fd), unlessPermission(unix.Connect(fd, &unix.SockaddrUnix{Name: t.Sockets[0]}), unix.EISCONN)
			})
		}},
		{Name: "use a unix socket of a volume", Try: func(t *Target) (string, error) { return dial("unix", t.Volume+"/socket") }},
	}
}

// withSocket makes a socket for IPv4.
func withSocket(kind int, use func(fd int) error) error {
	fd, err := unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return use(fd)
}

func listen(port int) error {
	return withSocket(unix.SOCK_STREAM, func(fd int) error {
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: port}); err != nil {
			return err
		}
		return unix.Listen(fd, 1)
	})
}

func dial(network, address string) (string, error) {
	c, err := net.Dial(network, address)
	if err == nil {
		c.Close()
	}
	return address, err
}
