package preview1

import "golang.org/x/sys/unix"

var fdSyncFunctions = []function{
	{"fd_sync", "i", fdSync},
	{"fd_datasync", "i", fdDatasync},
	{"fd_advise", "iIIi", fdAdvise},
	{"fd_allocate", "iII", fdAllocate},
}

// fdSync waits until a file and what is known about it are on the disk: (fd). EBADF,
// ENOTCAPABLE, and those of fsync(2), such as EINVAL for a pipe.
func fdSync(s *System, _ memory, a arguments) Errno {
	d, e := s.files.get(a.u32(0), FDSync)
	if e != ESUCCESS {
		return e
	}
	return errnoOf(retry(func() error { return unix.Fsync(d.fd) }))
}

// fdDatasync waits until a file's data are on the disk: (fd). EBADF, ENOTCAPABLE, and
// those of fdatasync(2).
func fdDatasync(s *System, _ memory, a arguments) Errno {
	d, e := s.files.get(a.u32(0), FDDatasync)
	if e != ESUCCESS {
		return e
	}
	return errnoOf(retry(func() error { return unix.Fdatasync(d.fd) }))
}

// afterWrite does what the flags of the descriptor demand after each write. As Linux
// has it, RSYNC means SYNC too.
func (d *descriptor) afterWrite() Errno {
	call := unix.Fdatasync
	if d.sync&(Sync|Rsync) != 0 {
		call = unix.Fsync
	}
	return ignoreInvalid(retry(func() error { return call(d.fd) }))
}

// beforeRead does what RSYNC demands: what is read is on the disk already.
func (d *descriptor) beforeRead() Errno {
	if d.sync&Rsync == 0 {
		return ESUCCESS
	}
	return ignoreInvalid(retry(func() error { return unix.Fdatasync(d.fd) }))
}

// ignoreInvalid forgets that there is nothing that could be written to a disk.
func ignoreInvalid(err error) Errno {
	if err == unix.EINVAL || err == unix.EROFS {
		return ESUCCESS
	}
	return errnoOf(err)
}

// advices are Linux's by the specification's numbers.
var advices = [...]int{unix.FADV_NORMAL, unix.FADV_SEQUENTIAL, unix.FADV_RANDOM, unix.FADV_WILLNEED, unix.FADV_DONTNEED, unix.FADV_NOREUSE}

// fdAdvise says how a part of a file will be used: (fd, offset, len, advice). EBADF,
// EINVAL for unknown advice or what does not fit 63 bits, ENOTCAPABLE, ESPIPE.
func fdAdvise(s *System, _ memory, a arguments) Errno {
	d, e := s.files.get(a.u32(0), FDAdvise)
	if e != ESUCCESS {
		return e
	}
	offset, size, advice := a.i64(1), a.i64(2), a.u32(3)
	if uint64(advice) >= uint64(len(advices)) || offset < 0 || size < 0 {
		return EINVAL
	}
	return errnoOf(unix.Fadvise(d.fd, offset, size, advices[advice]))
}

// fdAllocate makes sure that there is room for a part of a file, which grows if it is
// shorter: (fd, offset, len). EBADF, EFBIG, EINVAL for a length of 0 or what does not
// fit 63 bits, EISDIR, ENODEV for a socket, ENOTCAPABLE, ENOTSUP where the file system
// cannot, ESPIPE, and those of fallocate(2).
func fdAllocate(s *System, _ memory, a arguments) Errno {
	d, e := s.files.get(a.u32(0), 0)
	if e != ESUCCESS {
		return e
	}
	if a.i64(1) < 0 || a.i64(2) <= 0 { // comes first on Linux
		return EINVAL
	}
	if d.base&FDAllocate == 0 {
		return d.refusal(FDAllocate)
	}
	return errnoOf(retry(func() error { return unix.Fallocate(d.fd, 0, a.i64(1), a.i64(2)) }))
}
