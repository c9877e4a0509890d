package preview1

import "golang.org/x/sys/unix"

var pathFilestatFunctions = []function{
	{"path_filestat_get", "iiiii", pathFilestatGet},
	{"path_filestat_set_times", "iiiiIIi", pathFilestatSetTimes},
}

// pathFilestatGet writes the attributes of a file: (fd, flags: lookupflags, path,
// path_len, stat). EBADF, EFAULT, EILSEQ, EINVAL for unknown flags, ELOOP,
// ENAMETOOLONG, ENOENT, ENOTCAPABLE, ENOTDIR, and those of fstatat(2).
func pathFilestatGet(s *System, m memory, a arguments) Errno {
	flags := a.u32(1)
	if flags&^allLookupflags != 0 {
		return EINVAL
	}
	d, path, e := s.lookup(m, a.u32(0), PathFilestatGet, a.u32(2), a.u32(3))
	if e != ESUCCESS {
		return e
	}
	follow := flags&lookupFollow != 0
	w, e := s.walk(d, path)
	if e == ESUCCESS {
		defer w.end()
		e = w.stat(&s.stat, follow)
	}
	kind := Unknown
	switch {
	case e == ESUCCESS:
		kind = filetypeOf(s.stat.Mode)
	case w.own >= 0 || follow && e == ENOENT && w.findOwn():
		if kind, e = s.statOwn(w.own); e != ESUCCESS {
			return e
		}
	default:
		return e
	}
	s.clock.coarsen(&s.stat)
	return m.filestat(a.u32(4), &s.stat, kind)
}

// statOwn is for a link to one of the guest's own descriptors.
func (s *System) statOwn(number int) (Filetype, Errno) {
	d, e := s.files.get(uint32(number), FDFilestatGet)
	if e != ESUCCESS {
		return Unknown, ELOOP
	}
	return d.kind, errnoOf(fstat(d.fd, &s.stat))
}

// stat looks at what a path leads to.
func (w *walk) stat(st *unix.Stat_t, follow bool) Errno {
	if w.kernel {
		return w.kernelStat(st, follow)
	}
	for {
		w.settle()
		if err := fstatat(w.at.fd, w.name, st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return errnoOf(err)
		}
		switch kind := filetypeOf(st.Mode); {
		case kind == SymbolicLink && (follow || w.slash):
			if e := w.next(); e == EINVAL { // it is no link any more
				w.links++
			} else if e != ESUCCESS {
				return e
			}
			if w.links > maxLinks {
				return ELOOP
			}
		case kind != Directory && w.slash:
			return ENOTDIR
		default:
			return ESUCCESS
		}
	}
}

// pathFilestatSetTimes sets the times of a file: (fd, flags: lookupflags, path,
// path_len, atim, mtim, fst_flags). EBADF, EFAULT, EILSEQ, EINVAL for flags that are
// unknown or contradict each other, ELOOP, ENAMETOOLONG, ENOENT, ENOTCAPABLE, ENOTDIR,
// EROFS, and those of utimensat(2).
func pathFilestatSetTimes(s *System, m memory, a arguments) Errno {
	flags := a.u32(1)
	if flags&^allLookupflags != 0 {
		return EINVAL
	}
	times, e := timesOf(a[4], a[5], a.u32(6))
	if e != ESUCCESS {
		return e
	}
	d, path, e := s.lookup(m, a.u32(0), PathFilestatSetTimes, a.u32(2), a.u32(3))
	if e != ESUCCESS {
		return e
	}
	w, e := s.walk(d, path)
	if e != ESUCCESS {
		return e
	}
	defer w.end()
	if d.readOnly {
		if e := w.stat(&s.stat, flags&lookupFollow != 0); e != ESUCCESS {
			return e
		}
		return EROFS
	}
	host := unix.AT_SYMLINK_NOFOLLOW
	follow, e := w.finish(flags&lookupFollow != 0)
	if e != ESUCCESS {
		return e
	}
	if follow != 0 {
		host = 0
	}
	return errnoOf(retry(func() error { return unix.UtimesNanoAt(w.at.fd, w.name, times[:], host) }))
}
