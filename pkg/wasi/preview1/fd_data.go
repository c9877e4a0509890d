package preview1

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

var fdDataFunctions = []function{
	{"fd_read", "iiii", fdRead},
	{"fd_write", "iiii", fdWrite},
	{"fd_pread", "iiiIi", fdPread},
	{"fd_pwrite", "iiiIi", fdPwrite},
}

// fdRead reads at the position: (fd, iovs: pointer to iovecs, iovs_len: their number,
// nread: pointer to the number of bytes). EBADF, also if it was not opened to be
// read, EFAULT, EISDIR, ENOTCAPABLE, and those of readv(2). With no room for a byte it
// reads none, also of a socket: sock_recv waits, and takes a datagram. EMSGSIZE for a
// datagram into more than 1024 buffers.
func fdRead(s *System, m memory, a arguments) Errno {
	d, e := s.files.get(a.u32(0), FDRead)
	if e != ESUCCESS {
		return e
	}
	return s.transfer(d, m, a.u32(1), a.u32(2), a.u32(3), &reading, 0)
}

// fdWrite writes at the position, or at the end with APPEND: (fd, iovs: pointer to
// ciovecs, iovs_len: their number, nwritten: pointer to the number of bytes). EBADF,
// also if it was not opened to be written, EFAULT, EISDIR, ENOTCAPABLE, and those of
// writev(2). A pipe that nobody reads is EPIPE, and no signal. EMSGSIZE for a datagram of
// more than 1024 buffers.
func fdWrite(s *System, m memory, a arguments) Errno {
	d, e := s.files.get(a.u32(0), FDWrite)
	if e != ESUCCESS {
		return e
	}
	return s.transfer(d, m, a.u32(1), a.u32(2), a.u32(3), &writingData, 0)
}

// fdPread reads elsewhere and leaves the position as it is: (fd, iovs, iovs_len,
// offset, nread). EBADF, EFAULT, EISDIR, ENOTCAPABLE like fd_read, EINVAL for an
// offset beyond 2⁶³−1, ESPIPE for what has no position, and those of preadv(2).
func fdPread(s *System, m memory, a arguments) Errno {
	if a.i64(3) < 0 {
		return EINVAL
	}
	d, e := s.files.get(a.u32(0), FDRead|FDSeek)
	if e != ESUCCESS {
		return e
	}
	return s.transfer(d, m, a.u32(1), a.u32(2), a.u32(4), &readingAt, a.i64(3))
}

// fdPwrite writes elsewhere and leaves the position as it is: (fd, iovs, iovs_len,
// offset, nwritten). EBADF, EFAULT, EISDIR, ENOTCAPABLE like fd_write, EINVAL for an
// offset beyond 2⁶³−1, ESPIPE for what has no position, and those of pwritev(2). As on
// Linux, with APPEND it writes at the end all the same.
func fdPwrite(s *System, m memory, a arguments) Errno {
	if a.i64(3) < 0 {
		return EINVAL
	}
	d, e := s.files.get(a.u32(0), FDWrite|FDSeek)
	if e != ESUCCESS {
		return e
	}
	return s.transfer(d, m, a.u32(1), a.u32(2), a.u32(4), &writingAt, a.i64(3))
}

// direction is a way to move bytes: the system calls for one buffer and for several.
type direction struct {
	one     func(fd int, buffer []byte, offset int64) (int, error)
	several uintptr
	writes  bool
	events  int16 // of poll(2), when it is worth another try
}

var (
	reading     = direction{readAt, unix.SYS_READV, false, unix.POLLIN}
	writingData = direction{writeAt, unix.SYS_WRITEV, true, unix.POLLOUT}
	readingAt   = direction{unix.Pread, unix.SYS_PREADV, false, unix.POLLIN}
	writingAt   = direction{unix.Pwrite, unix.SYS_PWRITEV, true, unix.POLLOUT}
)

// readAt and writeAt are at the position.
func readAt(fd int, buffer []byte, _ int64) (int, error)  { return unix.Read(fd, buffer) }
func writeAt(fd int, buffer []byte, _ int64) (int, error) { return unix.Write(fd, buffer) }

// iovec is the kernel's. The guest's memory stays where it is during a call.
type iovec struct{ base, size uintptr }

// transfer moves bytes between the guest's memory and a file, and writes how many.
func (s *System) transfer(d *descriptor, m memory, iovs, count, result uint32, way *direction, offset int64) Errno {
	buffers, e := s.message(d, m, iovs, count)
	if e != ESUCCESS {
		return e
	}
	if _, ok := m.bytes(result, 4); !ok {
		return EFAULT
	}
	if d.sync != 0 && !way.writes {
		if e := d.beforeRead(); e != ESUCCESS {
			return e
		}
	}
	var n int
	var err error
	switch {
	case !d.isSocket():
		n, err = s.move(d, buffers, way, offset)
	case way.writes:
		n, err = d.send(buffers)
	case len(buffers) == 0: // unlike recv(2), read(2) of nothing neither waits nor takes a datagram
	default:
		n, _, err = d.receive(buffers, 0)
	}
	if err != nil {
		return errnoOf(err)
	}
	if d.sync != 0 && way.writes {
		if e := d.afterWrite(); e != ESUCCESS {
			return e
		}
	}
	return m.put32(result, uint32(n))
}

// move makes the system call. The kernel itself bounds the bytes by 2³¹−4096.
func (s *System) move(d *descriptor, buffers [][]byte, way *direction, offset int64) (int, error) {
	for {
		var n int
		var err error
		switch {
		case len(buffers) > 1:
			n, err = s.scatter(d.fd, buffers, way.several, offset)
		case len(buffers) == 1:
			n, err = way.one(d.fd, buffers[0], offset)
		default:
			n, err = way.one(d.fd, nil, offset)
		}
		if err == nil || !d.again(err, way.events) {
			return n, err
		}
	}
}

// scatter is readv, writev, preadv or pwritev; the first two do not look at an offset.
func (s *System) scatter(fd int, buffers [][]byte, trap uintptr, offset int64) (int, error) {
	s.iovecs = s.iovecs[:0]
	for _, b := range buffers {
		s.iovecs = append(s.iovecs, iovec{uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b))})
	}
	low, high := uintptr(offset), uintptr(uint64(offset)>>32) // where the former has 64 bits, the latter is ignored
	n, _, errno := unix.Syscall6(trap, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(s.iovecs))), uintptr(len(s.iovecs)), low, high, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
