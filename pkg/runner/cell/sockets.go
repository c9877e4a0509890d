package cell

import (
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/network"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/seccomp"
)

// Sockets are what a guest can do with sockets. Each includes those before.
type Sockets uint8

const (
	// NoSockets: there are none.
	NoSockets Sockets = iota
	// ServeSockets: to accept connections at listeners that are open, and use them.
	ServeSockets
	// AskSockets: to ask for addresses and set options, and to send datagrams from
	// sockets that are open.
	AskSockets
	// OpenSockets: to make sockets for TCP and UDP, to bind and connect them.
	OpenSockets
)

// Most is the most that guests can do with a network policy.
func Most(p network.Policy) Sockets {
	return [...]Sockets{network.Full: OpenSockets, network.Listen: AskSockets, network.None: NoSockets}[p]
}

const (
	// receiveFlags are recvfrom's: no errors and data out of band.
	receiveFlags = unix.MSG_PEEK | unix.MSG_WAITALL | unix.MSG_DONTWAIT | unix.MSG_TRUNC
	// sendFlags: not MSG_FASTOPEN, which connects.
	sendFlags = unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL
	// newSocketFlags come with the type of a socket.
	newSocketFlags = unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK
)

// settable are the options that a guest may set, by their level. Others run
// programs in the kernel, or make the kernel another one's.
var settable = map[uint32][]uint32{
	unix.SOL_SOCKET: {unix.SO_REUSEADDR, unix.SO_DONTROUTE, unix.SO_BROADCAST, unix.SO_SNDBUF, unix.SO_RCVBUF, unix.SO_KEEPALIVE,
		unix.SO_OOBINLINE, unix.SO_LINGER, unix.SO_RCVLOWAT, unix.SO_RCVTIMEO, unix.SO_SNDTIMEO, unix.SO_BINDTODEVICE},
	unix.IPPROTO_TCP: {unix.TCP_NODELAY},
}

func sockets(p *seccomp.Policy, s Sockets) {
	if s >= ServeSockets {
		serve(p)
	}
	if s == ServeSockets {
		p.Allow(unix.SYS_SENDTO, seccomp.Only(3, sendFlags), seccomp.Equal(4, 0)) // no address
	}
	if s >= AskSockets {
		ask(p)
	}
	if s >= OpenSockets {
		open(p)
	}
}

// serve is for connections. With recvmsg and sendmsg descriptors could be passed on,
// which no guest does.
func serve(p *seccomp.Policy) {
	p.Allow(unix.SYS_ACCEPT4, seccomp.Only(3, newSocketFlags))
	p.Allow(unix.SYS_RECVFROM, seccomp.Only(3, receiveFlags))
	p.Allow(unix.SYS_SHUTDOWN)
	p.Allow(unix.SYS_GETSOCKOPT, seccomp.Equal32(1, unix.SOL_SOCKET))
}

func ask(p *seccomp.Policy) {
	p.Allow(unix.SYS_SENDTO, seccomp.Only(3, sendFlags))
	p.Allow(unix.SYS_GETSOCKNAME)
	p.Allow(unix.SYS_GETPEERNAME)
	p.Allow(unix.SYS_GETSOCKOPT, seccomp.Equal32(1, unix.IPPROTO_TCP), seccomp.Equal32(2, unix.TCP_NODELAY))
	for _, level := range []uint32{unix.SOL_SOCKET, unix.IPPROTO_TCP} {
		for _, option := range settable[level] {
			p.Allow(unix.SYS_SETSOCKOPT, seccomp.Equal32(1, level), seccomp.Equal32(2, option))
		}
	}
}

// open makes sockets of the plain protocols. There are no unix sockets: those of
// the host can be met in its network namespace, if the container is in that.
func open(p *seccomp.Policy) {
	for _, family := range []uint64{unix.AF_INET, unix.AF_INET6} {
		for _, kind := range []uint64{unix.SOCK_STREAM, unix.SOCK_DGRAM} {
			p.Allow(unix.SYS_SOCKET, seccomp.Equal(0, family), seccomp.Bits(1, ^uint64(newSocketFlags), kind), seccomp.Equal(2, 0))
		}
	}
	p.Allow(unix.SYS_BIND)
	p.Allow(unix.SYS_LISTEN)
	p.Allow(unix.SYS_CONNECT)
}
