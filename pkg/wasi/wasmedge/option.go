package wasmedge

import (
	"bytes"
	"encoding/binary"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/network"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi/preview1"
)

// Levels of options, by WasmEdge's number and wasi-go's.
const (
	levelSocket = 0
	levelTCP    = 6
)

// option is one of a socket, with what a guest's value of it is.
type option struct {
	level, name int
	form        form
	// asked only, never set
	readOnly bool
}

// form is how a value looks.
type form int

const (
	// formNumber is an int.
	formNumber form = iota
	// formType is SO_TYPE's, with WasmEdge's numbers.
	formType
	// formError is SO_ERROR's, with the errnos of WASI.
	formError
	// formLinger are two ints: whether, and seconds.
	formLinger
	// formTime is a struct timeval of 64-bit numbers.
	formTime
	// formName is a name, with a zero byte if there is room.
	formName
)

// Lengths of values in bytes.
const (
	numberLength = 4
	lingerLength = 8
	timeLength   = 16
)

// socketOptions are in the order of WasmEdge's numbers, from 0.
var socketOptions = [...]option{
	{unix.SOL_SOCKET, unix.SO_REUSEADDR, formNumber, false},
	{unix.SOL_SOCKET, unix.SO_TYPE, formType, true},
	{unix.SOL_SOCKET, unix.SO_ERROR, formError, true},
	{unix.SOL_SOCKET, unix.SO_DONTROUTE, formNumber, false},
	{unix.SOL_SOCKET, unix.SO_BROADCAST, formNumber, false},
	{unix.SOL_SOCKET, unix.SO_SNDBUF, formNumber, false},
	{unix.SOL_SOCKET, unix.SO_RCVBUF, formNumber, false},
	{unix.SOL_SOCKET, unix.SO_KEEPALIVE, formNumber, false},
	{unix.SOL_SOCKET, unix.SO_OOBINLINE, formNumber, false},
	{unix.SOL_SOCKET, unix.SO_LINGER, formLinger, false},
	{unix.SOL_SOCKET, unix.SO_RCVLOWAT, formNumber, false},
	{unix.SOL_SOCKET, unix.SO_RCVTIMEO, formTime, false},
	{unix.SOL_SOCKET, unix.SO_SNDTIMEO, formTime, false},
	{unix.SOL_SOCKET, unix.SO_ACCEPTCONN, formNumber, true},
	{unix.SOL_SOCKET, unix.SO_BINDTODEVICE, formName, false},
}

// noDelay is the only option of TCP.
const noDelay = 15

// optionOf finds an option. EINVAL for another level, ENOPROTOOPT for another option.
func optionOf(level, name uint32) (option, preview1.Errno) {
	switch {
	case level == levelSocket && name < uint32(len(socketOptions)):
		return socketOptions[name], preview1.ESUCCESS
	case level == levelTCP && name == noDelay:
		return option{level: unix.IPPROTO_TCP, name: unix.TCP_NODELAY}, preview1.ESUCCESS
	case level == levelSocket || level == levelTCP:
		return option{}, preview1.ENOPROTOOPT
	default:
		return option{}, preview1.EINVAL
	}
}

// socketOption finds the socket and the option of (fd, level, name).
func socketOption(c call) (s preview1.Socket, o option, e preview1.Errno) {
	if s, e = socketOf(c, network.Listen); e == preview1.ESUCCESS {
		o, e = optionOf(c.Arg(1), c.Arg(2))
	}
	return s, o, e
}

// longestPlain is the largest length for which sockGetsockopt takes the last
// parameter itself: no compiler places variables that low.
const longestPlain = timeLength

// sockGetsockopt reads an option: (fd, level, name, value: pointer, length: pointer to
// the length of the value, which becomes the one that it has). The libraries of Go
// pass the length itself. As getsockopt(2), and EACCES by the policy, EBADF, EFAULT,
// EINVAL if the value is too short and for another level, ENOPROTOOPT, ENOTSOCK.
func sockGetsockopt(c call) preview1.Errno {
	s, o, e := socketOption(c)
	if e != preview1.ESUCCESS {
		return e
	}
	length := c.Arg(4)
	var lengthAt []byte
	if length > longestPlain {
		var ok bool
		if lengthAt, ok = c.Bytes(length, 4); !ok {
			return preview1.EFAULT
		}
		length = binary.LittleEndian.Uint32(lengthAt)
	}
	into, ok := c.Bytes(c.Arg(3), length)
	if !ok {
		return preview1.EFAULT
	}
	n, e := o.get(s.FD(), into)
	if e == preview1.ESUCCESS && lengthAt != nil {
		put32(lengthAt, uint32(n))
	}
	return e
}

// get writes the option's value, and returns its length in bytes.
func (o option) get(fd int, into []byte) (int, preview1.Errno) {
	switch o.form {
	case formLinger:
		l, err := unix.GetsockoptLinger(fd, o.level, o.name)
		if err != nil {
			return 0, preview1.ErrnoOf(err)
		}
		return write(into, binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, uint32(l.Onoff)), uint32(l.Linger)))
	case formTime:
		tv, err := unix.GetsockoptTimeval(fd, o.level, o.name)
		if err != nil {
			return 0, preview1.ErrnoOf(err)
		}
		return write(into, binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, uint64(tv.Sec)), uint64(tv.Usec)))
	case formName:
		name, err := unix.GetsockoptString(fd, o.level, o.name)
		if err != nil {
			return 0, preview1.ErrnoOf(err)
		}
		if name == "" {
			return 0, preview1.ESUCCESS
		}
		return write(into, append([]byte(name), 0))
	}
	if len(into) < numberLength { // before an error is taken away
		return 0, preview1.EINVAL
	}
	n, err := unix.GetsockoptInt(fd, o.level, o.name)
	if err != nil {
		return 0, preview1.ErrnoOf(err)
	}
	return write(into, binary.LittleEndian.AppendUint32(nil, o.translate(n)))
}

// translate is a number of the host as the guest knows it.
func (o option) translate(n int) uint32 {
	switch {
	case o.form == formError && n != 0:
		return uint32(preview1.ErrnoOf(unix.Errno(n)))
	case o.form == formType && n == unix.SOCK_STREAM:
		return typeStream
	case o.form == formType && n == unix.SOCK_DGRAM:
		return typeDatagram
	case o.form == formType:
		return typeAny
	}
	return uint32(n)
}

func write(into, value []byte) (int, preview1.Errno) {
	if len(into) < len(value) {
		return 0, preview1.EINVAL
	}
	return copy(into, value), preview1.ESUCCESS
}

// sockSetsockopt sets an option: (fd, level, name, value: pointer, length). As
// setsockopt(2), and EACCES by the policy, EBADF, EDOM for a time that is none, EFAULT,
// EINVAL if the value has another length than its kind and for another level, ENODEV,
// ENOPROTOOPT also for what can only be asked, ENOTSOCK.
func sockSetsockopt(c call) preview1.Errno {
	s, o, e := socketOption(c)
	if e != preview1.ESUCCESS {
		return e
	}
	value, ok := c.Bytes(c.Arg(3), c.Arg(4))
	if !ok {
		return preview1.EFAULT
	}
	return o.set(s.FD(), value)
}

func (o option) set(fd int, value []byte) preview1.Errno {
	little := binary.LittleEndian
	switch {
	case o.readOnly:
		return preview1.ENOPROTOOPT
	case o.form == formNumber && len(value) == numberLength:
		return preview1.ErrnoOf(unix.SetsockoptInt(fd, o.level, o.name, int(int32(little.Uint32(value)))))
	case o.form == formLinger && len(value) == lingerLength:
		l := unix.Linger{Onoff: int32(little.Uint32(value)), Linger: int32(little.Uint32(value[4:]))}
		return preview1.ErrnoOf(unix.SetsockoptLinger(fd, o.level, o.name, &l))
	case o.form == formTime && len(value) == timeLength:
		return setTime(fd, o, int64(little.Uint64(value)), int64(little.Uint64(value[8:])))
	case o.form == formName && len(value) <= unix.IFNAMSIZ:
		name, _, _ := bytes.Cut(value, []byte{0})
		return preview1.ErrnoOf(unix.SetsockoptString(fd, o.level, o.name, string(name)))
	default:
		return preview1.EINVAL
	}
}

// setTime: EDOM for a time that is none, as Linux has it. One that is longer than
// can be counted is for ever, as 0 is.
func setTime(fd int, o option, seconds, microseconds int64) preview1.Errno {
	if microseconds < 0 || microseconds >= int64(time.Second/time.Microsecond) {
		return preview1.EDOM
	}
	const most = int64(1) << 31
	if seconds > most {
		seconds, microseconds = 0, 0
	}
	tv := unix.NsecToTimeval(max(seconds, -1)*int64(time.Second) + microseconds*int64(time.Microsecond))
	return preview1.ErrnoOf(unix.SetsockoptTimeval(fd, o.level, o.name, &tv))
}
