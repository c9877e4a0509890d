package preview1

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Types of events ("eventtype").
const (
	eventClock = iota
	eventRead
	eventWrite
)

// subscription is what a guest waits for, as it lies in memory.
type subscription []byte

const subscriptionSize = 48

// absolute tells that a timeout is a time ("subclockflags").
const absolute = 1 << 0

func (s subscription) userdata() uint64 { return binary.LittleEndian.Uint64(s) }
func (s subscription) kind() byte       { return s[8] }

func (s subscription) clock() (id uint32, timeout uint64, flags uint16) {
	return binary.LittleEndian.Uint32(s[16:]), binary.LittleEndian.Uint64(s[24:]), binary.LittleEndian.Uint16(s[40:])
}

// interest is what ppoll is to tell.
func (s subscription) interest() int16 {
	if s.kind() == eventRead {
		return unix.POLLIN
	}
	return unix.POLLOUT
}

// descriptor is that of a subscription which is not about a clock: EINVAL for no
// known type. Connections that can be accepted are what a listener has to read.
func (s subscription) descriptor(files *table) (*descriptor, Errno) {
	if s.kind() > eventWrite {
		return nil, EINVAL
	}
	d, e := files.get(binary.LittleEndian.Uint32(s[16:]), PollFDReadwrite)
	if e != ESUCCESS || d.listens {
		return d, e
	}
	needed := FDRead
	if s.kind() == eventWrite {
		needed = FDWrite
	}
	if d.base&needed == 0 {
		return nil, ENOTCAPABLE
	}
	return d, ESUCCESS
}

// event is what has happened.
type event struct {
	userdata uint64
	errno    Errno
	kind     byte
	// bytes can be read or written, at least.
	bytes uint64
	flags uint16
}

const eventSize = 32

// hangup tells that the other end is closed ("eventrwflags").
const hangup = 1 << 0

func (e *event) write(to []byte) {
	clear(to[:eventSize])
	binary.LittleEndian.PutUint64(to, e.userdata)
	binary.LittleEndian.PutUint16(to[8:], uint16(e.errno))
	to[10] = e.kind
	binary.LittleEndian.PutUint64(to[16:], e.bytes)
	binary.LittleEndian.PutUint16(to[24:], e.flags)
}
