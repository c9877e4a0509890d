package preview1

var fdPrestatFunctions = []function{
	{"fd_prestat_get", "ii", fdPrestatGet},
	{"fd_prestat_dir_name", "iii", fdPrestatDirName},
}

// fdPrestatGet writes that a descriptor was found open as a directory, and the length
// of its name: (fd, prestat). EBADF for all others, EFAULT.
func fdPrestatGet(s *System, m memory, a arguments) Errno {
	d, e := s.files.preopen(a.u32(0))
	if e != ESUCCESS {
		return e
	}
	// The first byte says that it is a directory; the length follows on the next word.
	return m.put64(a.u32(1), uint64(len(d.name))<<32)
}

// fdPrestatDirName writes the name of a directory that was found open: (fd, path,
// path_len). EBADF for all others, EFAULT, ENAMETOOLONG if the buffer is too short.
func fdPrestatDirName(s *System, m memory, a arguments) Errno {
	d, e := s.files.preopen(a.u32(0))
	if e != ESUCCESS {
		return e
	}
	if uint64(a.u32(2)) < uint64(len(d.name)) {
		return ENAMETOOLONG
	}
	buffer, ok := m.bytes(a.u32(1), uint32(len(d.name)))
	if !ok {
		return EFAULT
	}
	copy(buffer, d.name)
	return ESUCCESS
}

// preopen is get for directories that were found open.
func (t *table) preopen(number uint32) (*descriptor, Errno) {
	d, e := t.get(number, 0)
	if e == ESUCCESS && !d.named {
		return nil, EBADF
	}
	return d, e
}
