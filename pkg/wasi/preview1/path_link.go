package preview1

import "golang.org/x/sys/unix"

var pathLinkFunctions = []function{
	{"path_link", "iiiiiii", pathLink},
	{"path_readlink", "iiiiii", pathReadlink},
	{"path_symlink", "iiiii", pathSymlink},
}

// pathLink gives a file one more name: (old_fd, old_flags: lookupflags, old_path,
// old_path_len, new_fd, new_path, new_path_len). Without SYMLINK_FOLLOW a symbolic
// link at the end itself gets it. EBADF, EEXIST, EFAULT, EILSEQ, EINVAL for
// unknown flags, ELOOP, ENAMETOOLONG, ENOENT, ENOTCAPABLE, ENOTDIR, EPERM for a
// directory, EROFS, EXDEV also between a directory that can be written and one that
// cannot, and those of link(2).
func pathLink(s *System, m memory, a arguments) Errno {
	flags := a.u32(1)
	if flags&^allLookupflags != 0 {
		return EINVAL
	}
	from, fromPath, e := s.lookup(m, a.u32(0), PathLinkSource, a.u32(2), a.u32(3))
	if e != ESUCCESS {
		return e
	}
	to, toPath, e := s.lookup(m, a.u32(4), PathLinkTarget, a.u32(5), a.u32(6))
	if e != ESUCCESS {
		return e
	}
	source, e := s.walk(from, fromPath)
	if e != ESUCCESS {
		return e
	}
	defer source.end()
	host, e := source.finish(flags&lookupFollow != 0)
	if e != ESUCCESS {
		return e
	}
	target, e := s.walk(to, toPath)
	if e != ESUCCESS {
		if missing := source.stat(&s.stat, false); missing != ESUCCESS { // that comes first
			return missing
		}
		return e
	}
	defer target.end()
	if e := sameMount(from, to); e != ESUCCESS {
		return e
	}
	if to.readOnly {
		return target.refuseEntry()
	}
	return errnoOf(retry(func() error { return unix.Linkat(source.at.fd, source.name, target.at.fd, target.entry(), host) }))
}

// pathReadlink reads what a symbolic link says: (fd, path, path_len, buf, buf_len,
// bufused: pointer to the number of bytes). It is cut where the buffer ends. EBADF,
// EFAULT, EILSEQ, EINVAL if it is no link or the buffer has no bytes, ELOOP,
// ENAMETOOLONG, ENOENT, ENOTCAPABLE, ENOTDIR, and those of readlink(2).
func pathReadlink(s *System, m memory, a arguments) Errno {
	d, path, e := s.lookup(m, a.u32(0), PathReadlink, a.u32(1), a.u32(2))
	if e != ESUCCESS {
		return e
	}
	buffer, ok := m.bytes(a.u32(3), a.u32(4))
	if !ok {
		return EFAULT
	}
	if _, ok := m.bytes(a.u32(5), 4); !ok {
		return EFAULT
	}
	w, e := s.walk(d, path)
	if e != ESUCCESS {
		return e
	}
	defer w.end()
	if _, e := w.finish(false); e != ESUCCESS {
		return e
	}
	if len(buffer) == 0 {
		return EINVAL
	}
	n, err := readlinkat(w.at.fd, w.name, buffer[:min(len(buffer), pathMax)]) // the kernel takes 2 GiB for less than nothing
	if err != nil {
		return errnoOf(err)
	}
	return m.put32(a.u32(5), uint32(n))
}

// pathSymlink makes a symbolic link: (old_path: what it says, old_path_len, fd,
// new_path, new_path_len). What it says is nobody's business until it is followed,
// and then does not lead out of the root, so that it may be absolute. EBADF, EEXIST,
// EFAULT, EILSEQ, ELOOP, ENAMETOOLONG, ENOENT, ENOTCAPABLE, ENOTDIR, EROFS, and those of
// symlink(2).
func pathSymlink(s *System, m memory, a arguments) Errno {
	text, e := m.path(a.u32(0), a.u32(1))
	if e != ESUCCESS {
		return e
	}
	d, path, e := s.lookup(m, a.u32(2), PathSymlink, a.u32(3), a.u32(4))
	if e != ESUCCESS {
		return e
	}
	return s.create(d, path, func(dir int, name string) error { return unix.Symlinkat(text, dir, name) })
}
