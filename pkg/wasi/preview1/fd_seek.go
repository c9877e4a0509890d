package preview1

import "golang.org/x/sys/unix"

var fdSeekFunctions = []function{
	{"fd_seek", "iIii", fdSeek},
	{"fd_tell", "ii", fdTell},
}

// whences are Linux's by the specification's numbers.
var whences = [...]int{whenceSet: unix.SEEK_SET, whenceCur: unix.SEEK_CUR, whenceEnd: unix.SEEK_END}

// fdSeek moves the position: (fd, offset, whence, newoffset: pointer to the new one).
// EBADF, EFAULT, EINVAL for another whence or a position below 0, EISDIR, ENOTCAPABLE,
// ESPIPE. A directory is read by cookies, which this could only disturb.
func fdSeek(s *System, m memory, a arguments) Errno {
	if uint64(a.u32(2)) >= uint64(len(whences)) {
		return EINVAL
	}
	d, e := s.files.get(a.u32(0), FDSeek)
	if e != ESUCCESS {
		return e
	}
	return d.seek(m, a.i64(1), whences[a.u32(2)], a.u32(3))
}

// fdTell writes the position: (fd, offset: pointer to it). EBADF, EFAULT, EISDIR,
// ENOTCAPABLE, ESPIPE.
func fdTell(s *System, m memory, a arguments) Errno {
	d, e := s.files.get(a.u32(0), FDTell)
	if e != ESUCCESS {
		// The right to seek includes it.
		if d, e = s.files.get(a.u32(0), FDSeek); e != ESUCCESS {
			return e
		}
	}
	return d.seek(m, 0, unix.SEEK_CUR, a.u32(1))
}

func (d *descriptor) seek(m memory, offset int64, whence int, result uint32) Errno {
	if _, ok := m.bytes(result, 8); !ok {
		return EFAULT
	}
	at, err := unix.Seek(d.fd, offset, whence)
	if err != nil {
		return errnoOf(err)
	}
	return m.put64(result, uint64(at))
}
