package preview1

import "golang.org/x/sys/unix"

// lookup is what the functions for paths take in common: a directory that has the
// rights, and a path. So they have errors in common: EBADF and ENOTDIR for a descriptor
// that is none, or no directory, EFAULT, EILSEQ for a path with a zero byte, and those
// of resolving it: ENOTCAPABLE for one that leads out of the directory by what it says,
// or is absolute, ELOOP, ENAMETOOLONG, ENOENT, also for an empty one, and ENOTDIR.
func (s *System) lookup(m memory, number uint32, rights Rights, at, size uint32) (*descriptor, string, Errno) {
	d, e := s.files.get(number, rights)
	if e != ESUCCESS {
		return nil, "", e
	}
	if d.kind != Directory {
		return nil, "", ENOTDIR
	}
	path, e := m.path(at, size)
	return d, path, e
}

// entry is the name for calls that make, rename or remove an entry. They follow no
// link there, also if a slash is behind it, and know what "." and ".." mean.
func (w *walk) entry() string {
	if w.slash {
		return w.name + "/"
	}
	return w.name
}

// finish goes on to what a link at the end leads to, if it is to be followed. What it
// returns is AT_SYMLINK_FOLLOW where the call has to do that.
func (w *walk) finish(follow bool) (int, Errno) {
	if w.kernel {
		if follow {
			return unix.AT_SYMLINK_FOLLOW, ESUCCESS
		}
		return 0, ESUCCESS
	}
	for {
		w.settle()
		if !follow && !w.slash {
			return 0, ESUCCESS
		}
		e := w.next()
		if e == EINVAL { // no link
			break
		}
		if e != ESUCCESS {
			return 0, e
		}
	}
	var st unix.Stat_t
	if w.slash {
		return 0, w.stat(&st, false)
	}
	return 0, ESUCCESS
}
