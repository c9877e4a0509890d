package preview1

import (
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/network"
)

// Extension is a function that the specification does not have, for the same
// guests. Its parameters are letters: i for i32, I for i64; its result is an errno.
type Extension struct {
	Name   string
	Params string
	Call   func(Call) Errno
}

// Export adds the function to a host module.
func (x Extension) Export(b wazero.HostModuleBuilder) {
	function{x.Name, x.Params, func(s *System, m memory, a arguments) Errno { return x.Call(Call{s, m, a}) }}.export(b)
}

// Takes tells whether the function has these parameters.
func (x Extension) Takes(params []api.ValueType) bool {
	return string(params) == string(valueTypes(x.Params))
}

// Call is one call of an Extension, and valid during that.
type Call struct {
	system *System
	memory memory
	args   arguments
}

// Arg is an argument of 32 bits.
func (c Call) Arg(i int) uint32 { return c.args.u32(i) }

// Network is how far the guest may use the network.
func (c Call) Network() network.Policy { return c.system.network }

// Bytes is a part of the guest's memory; ok is false if it is not all there.
func (c Call) Bytes(at, size uint32) (part []byte, ok bool) { return c.memory.bytes(at, size) }

// Spare is for a system call that failed, and tells to repeat it: it was for want of
// descriptors, of which some were kept for paths to be faster.
func (c Call) Spare(err error) bool { return c.system.ways.spare(errnoOf(err)) }

// Put32 writes a number to the guest's memory. EFAULT.
func (c Call) Put32(at, v uint32) Errno { return c.memory.put32(at, v) }

// Vectors are the buffers that an array of iovecs names. EFAULT.
func (c Call) Vectors(at, count uint32) ([][]byte, Errno) {
	return c.system.vectors(c.memory, at, count)
}

// Socket finds a socket with rights. EBADF, ENOTSOCK, ENOTCAPABLE.
func (c Call) Socket(number uint32, rights Rights) (Socket, Errno) {
	d, e := c.system.files.socket(number, rights)
	return Socket{c.system, d}, e
}

// AddSocket gives a new socket of the host a number, and closes it if there is none.
// EMFILE.
func (c Call) AddSocket(fd int, kind Filetype) (uint32, Errno) {
	return c.add(&descriptor{fd: fd, kind: kind, base: rightsOfSocket})
}

func (c Call) add(d *descriptor) (uint32, Errno) {
	number, e := c.system.files.add(d)
	if e != ESUCCESS {
		d.close()
	}
	return number, e
}

// Accept takes a connection, which blocks, and gives it a number. As accept(2).
func (c Call) Accept(s Socket) (uint32, Errno) {
	d, e := c.system.accept(s.d, false)
	if e != ESUCCESS {
		return 0, e
	}
	return c.add(d)
}

// Socket is a socket that a guest has open.
type Socket struct {
	system *System
	d      *descriptor
}

// FD is the host's number.
func (s Socket) FD() int { return s.d.fd }

// IsDatagram tells datagrams from streams.
func (s Socket) IsDatagram() bool { return s.d.kind == SocketDgram }

// Again tells to repeat a call that has failed: what it waits for are events of
// poll(2).
func (s Socket) Again(err error, events int16) bool { return s.d.again(err, events) }

// Listen makes the socket one that accepts connections. As listen(2).
func (s Socket) Listen(backlog int) Errno {
	if err := unix.Listen(s.d.fd, backlog); err != nil {
		return errnoOf(err)
	}
	if !s.d.listens {
		s.d.listens = true
		s.d.base = s.d.base&rightsOfListener | SockAccept
		s.d.inherit = rightsOfSocket
		s.system.stopper.listens(s.d)
	}
	return ESUCCESS
}

// ErrnoOf translates an error of a system call.
func ErrnoOf(err error) Errno { return errnoOf(err) }
