package preview1

var fdFunctions = []function{
	{"fd_close", "i", fdClose},
	{"fd_renumber", "ii", fdRenumber},
	{"fd_fdstat_set_rights", "iII", fdFdstatSetRights},
}

// fdClose closes a descriptor: (fd). EBADF.
func fdClose(s *System, _ memory, a arguments) Errno {
	d, e := s.files.remove(a.u32(0))
	if e != ESUCCESS {
		return e
	}
	return d.close()
}

// fdRenumber makes to stand for what fd stands for, and closes what it stood for:
// (fd, to). Both have to be open. EBADF.
func fdRenumber(s *System, _ memory, a arguments) Errno {
	replaced, e := s.files.rename(a.u32(0), a.u32(1))
	if e == ESUCCESS && replaced != nil {
		replaced.close() // as dup2 does, without its error
	}
	return e
}

// fdFdstatSetRights takes rights away: (fd, fs_rights_base, fs_rights_inheriting).
// EBADF, ENOTCAPABLE for rights that it has not.
func fdFdstatSetRights(s *System, _ memory, a arguments) Errno {
	d, e := s.files.get(a.u32(0), 0)
	if e != ESUCCESS {
		return e
	}
	base, inherit := Rights(a[1]), Rights(a[2])
	if base&^d.base != 0 || inherit&^d.inherit != 0 {
		return ENOTCAPABLE
	}
	d.base, d.inherit = base, inherit
	return ESUCCESS
}
