package wasmedge

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi/preview1"
)

// edgeCall is a call with the memory number at the end of what addresses reach, or that
// many bytes beyond.
type edgeCall struct {
	*rig
	edge   int
	beyond int
	// places is how much memory there was.
	places int
	// port is that of the datagrams' socket.
	port uint64
}

// put is rig.put, or it puts what is to be at the edge there as far as there is memory.
func (c *edgeCall) put(data []byte) uint64 {
	c.t.Helper()
	c.places++
	if c.places-1 != c.edge {
		return c.rig.put(data)
	}
	at := 1<<32 - uint64(len(data)) + uint64(c.beyond)
	if !c.module.Memory().Write(uint32(at), data[:len(data)-c.beyond]) {
		c.t.Fatal("there is no memory at the edge")
	}
	return at
}

// result is room for one of so many bytes.
func (c *edgeCall) result(size int) uint64 { return c.put(make([]byte, size)) }

// pair is rig.pair.
func (c *edgeCall) pair(data []byte) uint64 {
	return c.put(words(c.put(data), uint64(len(data))))
}

// chain is a pointer to the only struct for results of sock_getaddrinfo.
func (c *edgeCall) chain() uint64 {
	const room = 16
	address := c.put(words(0, inet4Data, c.result(inet4Data)))
	info := c.put(words(0, 0, 0, address, c.result(room), room, 0))
	return c.put(words(info))
}

// Descriptors of the guest: one that sends datagrams to itself, and a listener.
const (
	edgeDatagram = 3 + iota
	edgeListener
)

type calledAtEdge struct {
	name string
	args func(c *edgeCall) []uint64
}

// atEdge are calls that succeed, of all functions that take memory, in the first version.
var atEdge = []calledAtEdge{
	{"sock_open", func(c *edgeCall) []uint64 { return []uint64{familyInet4, typeStream, c.result(4)} }},
	{"sock_bind", func(c *edgeCall) []uint64 { return []uint64{c.open(familyInet4, typeStream), c.pair(home4), 0} }},
	{"sock_connect", func(c *edgeCall) []uint64 { return []uint64{edgeDatagram, c.pair(home4), c.port} }},
	{"sock_send_to", func(c *edgeCall) []uint64 {
		return []uint64{edgeDatagram, c.pair([]byte("0123")), 1, c.pair(home4), c.port, 0, c.result(4)}
	}},
	{"sock_recv_from", func(c *edgeCall) []uint64 {
		return []uint64{edgeDatagram, c.pair(make([]byte, 4)), 1, c.pair(make([]byte, 4)), 0, c.result(4), c.result(2)}
	}},
	{"sock_getsockopt", func(c *edgeCall) []uint64 { return []uint64{edgeDatagram, 0, 1, c.result(4), c.put(words(4))} }},
	{"sock_setsockopt", func(c *edgeCall) []uint64 { return []uint64{edgeDatagram, 0, 0, c.put(words(1)), 4} }},
	{"sock_getlocaladdr", func(c *edgeCall) []uint64 {
		return []uint64{edgeDatagram, c.pair(make([]byte, 4)), c.result(4), c.result(4)}
	}},
	{"sock_getpeeraddr", func(c *edgeCall) []uint64 {
		return []uint64{edgeDatagram, c.pair(make([]byte, 4)), c.result(4), c.result(4)}
	}},
	{"sock_getaddrinfo", func(c *edgeCall) []uint64 {
		node, service := "127.0.0.1", "80"
		h := make([]byte, infoSize)
		h[infoFlags], h[infoFamily], h[infoType] = aiCanonname, familyInet4, typeStream
		return []uint64{c.put([]byte(node)), uint64(len(node)), c.put([]byte(service)), uint64(len(service)), c.put(h), c.chain(), 1, c.result(4)}
	}},
	{"sock_accept", func(c *edgeCall) []uint64 { return []uint64{edgeListener, c.result(4)} }},
}

// portOf asks the host.
func portOf(t testing.TB, fd int) uint64 {
	t.Helper()
	at, err := unix.Getsockname(fd)
	must(t, err)
	return uint64(at.(*unix.SockaddrInet4).Port)
}

// newEdgeRig starts a guest with as much memory as can be.
func newEdgeRig(t *testing.T) (r *rig, datagrams, listener int) {
	t.Helper()
	home := &unix.SockaddrInet4{Addr: [4]byte(home4)}
	open := func(kind int) int {
		fd, err := unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		must(t, err)
		must(t, unix.Bind(fd, home))
		return fd
	}
	datagrams, listener = open(unix.SOCK_DGRAM), open(unix.SOCK_STREAM)
	home.Port = int(portOf(t, datagrams))
	must(t, unix.Connect(datagrams, home))
	must(t, unix.Listen(listener, 16))
	r = newRig(t, 1, preview1.Config{Preopens: []preview1.Preopen{{FD: datagrams}, {FD: listener}}})
	m := r.module.Memory()
	if _, ok := m.Grow(1<<16 - m.Size()>>16); !ok {
		t.Fatal("no memory of 4 GiB")
	}
	return r, datagrams, listener
}

// TestMemoryEndsWhereAddressesDo: the last byte that a guest can have is like others.
func TestMemoryEndsWhereAddressesDo(t *testing.T) {
	t.Parallel()
	r, datagrams, listener := newEdgeRig(t)
	for _, f := range atEdge {
		places := 1
		for i := 0; i < places; i++ {
			for beyond, want := range map[int]preview1.Errno{0: preview1.ESUCCESS, 1: preview1.EFAULT} {
				c := edgeCall{rig: r, edge: i, beyond: beyond, port: portOf(t, datagrams)}
				args := f.args(&c)
				places = c.places
				_, err := unix.Write(datagrams, []byte("0123"))
				must(t, err)
				if f.name == "sock_accept" {
					client, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", portOf(t, listener)))
					must(t, err)
					defer client.Close()
				}
				results, err := r.module.ExportedFunction(f.name).Call(r.ctx, args...)
				where := fmt.Sprintf("%s, memory %d, %d bytes beyond", f.name, i, beyond)
				if err != nil {
					message, _, _ := strings.Cut(err.Error(), "\n")
					t.Errorf("%s: %s", where, message)
				} else if got := preview1.Errno(results[0]); got != want {
					t.Errorf("%s: %d, want %d", where, got, want)
				}
			}
		}
	}
}

func TestEveryFunctionIsCalledAtTheEdge(t *testing.T) {
	t.Parallel()
	for _, x := range append(slices.Clone(functions), accept1) {
		if x.Name == "sock_listen" { // takes no memory
			continue
		}
		if !slices.ContainsFunc(atEdge, func(c calledAtEdge) bool { return c.name == x.Name }) {
			t.Errorf("%s is not called with memory at the edge", x.Name)
		}
	}
}
