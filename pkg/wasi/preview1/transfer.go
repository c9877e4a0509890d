package preview1

import (
	"golang.org/x/sys/unix"
)

// riflags and roflags are sock_recv's.
const (
	recvPeek = 1 << iota
	recvWaitall
	allRiflags = recvPeek | recvWaitall
	// recvDataTruncated tells that a datagram was longer than the buffers.
	recvDataTruncated = 1 << 0
)

// sockRecv receives: (fd, ri_data: pointer to iovecs, ri_data_len: their number,
// ri_flags, ro_datalen: pointer to the number of bytes, ro_flags: pointer). As
// recvmsg(2), and EBADF, EINVAL for other flags, EFAULT, ENOTCAPABLE, ENOTCONN for a
// listener, ENOTSOCK.
func sockRecv(s *System, m memory, a arguments) Errno {
	riflags, size, roflags := a.u32(3), a.u32(4), a.u32(5)
	if riflags&^allRiflags != 0 {
		return EINVAL
	}
	d, e := s.files.socket(a.u32(0), FDRead)
	if e != ESUCCESS {
		return e
	}
	buffers, e := s.vectors(m, a.u32(1), a.u32(2))
	if e != ESUCCESS {
		return e
	}
	if _, ok := m.bytes(size, 4); !ok {
		return EFAULT
	}
	if _, ok := m.bytes(roflags, 2); !ok {
		return EFAULT
	}
	flags := 0
	if riflags&recvPeek != 0 {
		flags |= unix.MSG_PEEK
	}
	if riflags&recvWaitall != 0 {
		flags |= unix.MSG_WAITALL
	}
	n, truncated, err := d.receive(buffers, flags)
	if err != nil {
		return errnoOf(err)
	}
	m.put16(roflags, truncated)
	return m.put32(size, uint32(n))
}

// sockSend sends: (fd, si_data: pointer to iovecs, si_data_len: their number,
// si_flags: 0, so_datalen: pointer to the number of bytes). As sendmsg(2), and
// EBADF, EINVAL for flags, EFAULT, EMSGSIZE also for a datagram of more than 1024 buffers,
// ENOTCAPABLE, ENOTCONN for a listener, ENOTSOCK. The other end having closed is EPIPE, and
// no signal.
func sockSend(s *System, m memory, a arguments) Errno {
	if a.u32(3) != 0 {
		return EINVAL
	}
	d, e := s.files.socket(a.u32(0), FDWrite)
	if e != ESUCCESS {
		return e
	}
	buffers, e := s.message(d, m, a.u32(1), a.u32(2))
	if e != ESUCCESS {
		return e
	}
	if _, ok := m.bytes(a.u32(4), 4); !ok {
		return EFAULT
	}
	n, err := d.send(buffers)
	if err != nil {
		return errnoOf(err)
	}
	return m.put32(a.u32(4), uint32(n))
}

// socket is get for what has to be one.
func (t *table) socket(number uint32, rights Rights) (*descriptor, Errno) {
	d, e := t.get(number, 0)
	switch {
	case e != ESUCCESS:
		return nil, e
	case !d.isSocket():
		return nil, ENOTSOCK
	case d.listens && rights&(FDRead|FDWrite) != 0: // as Linux has it
		return nil, ENOTCONN
	}
	return t.get(number, rights)
}

// receive fills buffers. It does without recvmsg(2), which could bring descriptors
// into the process, so that nobody here has to be able to call it.
func (d *descriptor) receive(buffers [][]byte, flags int) (n int, truncated uint16, err error) {
	switch {
	case d.kind == SocketDgram:
		return d.receiveDatagram(buffers, flags)
	case len(buffers) == 0:
		n, err = d.receiveOnce(nil, flags)
	case len(buffers) == 1:
		n, err = d.receiveOnce(buffers[0], flags)
	case flags == 0:
		n, err = d.readv(buffers)
	case flags&unix.MSG_PEEK != 0:
		n, err = d.receiveScattered(buffers, flags)
	default:
		n, err = d.receiveAll(buffers, flags)
	}
	return n, 0, err
}

func (d *descriptor) receiveOnce(buffer []byte, flags int) (int, error) {
	for {
		n, err := socketCall(unix.SYS_RECVFROM, d.fd, buffer, flags)
		if err == nil || !d.again(err, unix.POLLIN) {
			return n, err
		}
	}
}

// receiveAll fills one buffer after the other, until one is not filled.
func (d *descriptor) receiveAll(buffers [][]byte, flags int) (total int, err error) {
	for _, b := range buffers {
		n, err := d.receiveOnce(b, flags)
		total += n
		if err != nil && total == 0 {
			return 0, err
		}
		if n < len(b) {
			break
		}
	}
	return total, nil
}

// maxScattered bounds what is copied; there are no longer datagrams.
const maxScattered = 256 << 10

// receiveScattered receives into one buffer of its own.
func (d *descriptor) receiveScattered(buffers [][]byte, flags int) (int, error) {
	size := 0
	for _, b := range buffers {
		size = min(size+len(b), maxScattered)
	}
	whole := make([]byte, size)
	n, err := d.receiveOnce(whole, flags)
	rest := whole[:min(max(n, 0), size)]
	for _, b := range buffers {
		rest = rest[copy(b, rest):]
	}
	return n, err
}

// receiveDatagram tells if there was more than the buffers take.
func (d *descriptor) receiveDatagram(buffers [][]byte, flags int) (n int, truncated uint16, err error) {
	flags |= unix.MSG_TRUNC // to be told the length
	size := 0
	for _, b := range buffers {
		size = min(size+len(b), maxScattered)
	}
	switch len(buffers) {
	case 0:
		n, err = d.receiveOnce(nil, flags)
	case 1:
		n, err = d.receiveOnce(buffers[0][:size], flags)
	default:
		n, err = d.receiveScattered(buffers, flags)
	}
	if n > size {
		return size, recvDataTruncated, err
	}
	return n, 0, err
}

func (d *descriptor) readv(buffers [][]byte) (int, error) {
	for {
		n, err := unix.Readv(d.fd, buffers)
		if err == nil || !d.again(err, unix.POLLIN) {
			return n, err
		}
	}
}

// send sends buffers as one message. Several go by writev(2), whose SIGPIPE the
// process ignores; sendmsg(2) could carry descriptors away.
func (d *descriptor) send(buffers [][]byte) (int, error) {
	for {
		var n int
		var err error
		switch len(buffers) {
		case 0:
			n, err = socketCall(unix.SYS_SENDTO, d.fd, nil, unix.MSG_NOSIGNAL)
		case 1:
			n, err = socketCall(unix.SYS_SENDTO, d.fd, buffers[0], unix.MSG_NOSIGNAL)
		default:
			n, err = unix.Writev(d.fd, buffers)
		}
		if err == nil || !d.again(err, unix.POLLOUT) {
			return n, err
		}
	}
}
