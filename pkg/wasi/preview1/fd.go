package preview1

var fdFunctions = []function{
	{"fd_close", "i", fdClose},
	{"fd_renumber", "ii", fdRenumber},
}

// fdClose closes a descriptor, also one that was found open: (fd). EBADF, and those
// of close(2).
func fdClose(s *System, _ memory, a arguments) Errno {
	d, e := s.files.remove(a.u32(0))
	if e != ESUCCESS {
		return e
	}
	s.ways.leave(d.directory)
	return d.close()
}

// fdRenumber makes to stand for what fd stands for, and closes what it stood for:
// (fd, to). Both have to be open. EBADF.
func fdRenumber(s *System, _ memory, a arguments) Errno {
	replaced, e := s.files.rename(a.u32(0), a.u32(1))
	if e == ESUCCESS && replaced != nil {
		s.ways.leave(replaced.directory)
		replaced.close() // as dup2 does, without its error
	}
	return e
}
