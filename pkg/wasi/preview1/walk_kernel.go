package preview1

import "golang.org/x/sys/unix"

// In a root where the kernel resolves paths, a link at the end is followed by a second
// call, so that a path that leads nowhere says whether there is one: see findOwn.

// kernelOpen opens what a path leads to.
func (w *walk) kernelOpen(flags int, follow bool) (int, Errno) {
	if follow && w.makesOwn(flags) {
		return -1, ENOENT
	}
	fd, err := w.ways.openat(w.at.fd, w.name, flags|unix.O_NOFOLLOW, fileMode)
	isLink := err == unix.ELOOP || err == unix.ENOTDIR && flags&unix.O_DIRECTORY != 0
	if !follow || !isLink {
		return fd, errnoOf(err)
	}
	w.links++
	if w.makesOwn(flags) {
		return -1, ENOENT
	}
	fd, err = w.ways.openat(w.at.fd, w.name, flags, fileMode)
	return fd, errnoOf(err)
}

// kernelStat looks at what a path leads to.
func (w *walk) kernelStat(st *unix.Stat_t, follow bool) Errno {
	err := fstatat(w.at.fd, w.name, st, unix.AT_SYMLINK_NOFOLLOW)
	if follow && err == nil && filetypeOf(st.Mode) == SymbolicLink {
		w.links++
		err = fstatat(w.at.fd, w.name, st, 0)
	}
	return errnoOf(err)
}
