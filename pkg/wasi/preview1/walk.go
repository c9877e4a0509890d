package preview1

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// walk resolves a path within the root of a directory. There are two ways.
//
// Mostly it goes from component to component and never lets the kernel follow a
// symbolic link: it reads it, and goes on with what it says, from the root if that
// is absolute. What it has come through stays open, so that ".." needs no trust in
// where a directory is now. Whatever others do to the tree at the same time, each
// step starts from a directory that was reached from the root and goes to one of
// its entries. The last component is left to the system call that is made there,
// which must not follow a link either.
//
// Where the root is the process's own and there are no magic links, the kernel does
// the same in one call, and faster: then name is the whole path.
type walk struct {
	at     *directory
	name   string // in at: the last component, or the path
	rest   string // what is still to be walked
	links  int    // followed so far
	slash  bool   // something follows the last component: it has to be a directory
	kernel bool
	// own is the number of the guest's own descriptor if that is what a link of a
	// procfs leads to, or would: see findOwn; -1 otherwise.
	own int
	// from and path are where it began, and files what the guest has open. They remain
	// when the walk has ended.
	from  *directory
	path  string
	files *table
	// ways are known to the guest, and begin is where one begins that is not.
	ways  *ways
	begin way
}

// maxLinks is how many symbolic links Linux follows in a path.
const maxLinks = 40

// walk goes to the last component of a path. Like a sandbox of capabilities, it
// refuses what says by itself that it leads out of the directory: ENOTCAPABLE. The
// caller ends the walk, unless there is an error: then it has ended, but can be asked
// for own.
func (s *System) walk(d *descriptor, path string) (walk, Errno) {
	if e := inside(path); e != ESUCCESS {
		return walk{own: -1, from: d.directory, path: path, files: &s.files}, e
	}
	w := walk{at: d.directory, own: -1, from: d.directory, path: path, files: &s.files, ways: &s.ways}
	if d.directory.root.confined {
		w.name, w.kernel = path, true
		return w, ESUCCESS
	}
	w.at.use()
	w.rest = path
	e := w.last()
	if e != ESUCCESS {
		w.end()
		w.own = -1 // it was on the way, and is no directory
	}
	return w, e
}

// end closes what the walk has opened.
func (w *walk) end() {
	if !w.kernel && w.at != nil {
		w.forgetBegin()
		w.at.release()
	}
	w.at = nil
}

// inside tells whether a path stays beneath where it begins, as far as it says.
func inside(path string) Errno {
	if path == "" {
		return ENOENT
	}
	if path[0] == '/' {
		return ENOTCAPABLE
	}
	depth := 0
	for path != "" {
		var name string
		name, path, _ = cut(path)
		switch name {
		case "", ".":
		case "..":
			if depth--; depth < 0 {
				return ENOTCAPABLE
			}
		default:
			depth++
		}
	}
	return ESUCCESS
}

// cut takes the first component off a path. slash tells that it was followed by one.
func cut(path string) (name, rest string, slash bool) {
	i := strings.IndexByte(path, '/')
	if i < 0 {
		return path, "", false
	}
	name, rest = path[:i], path[i:]
	for rest != "" && rest[0] == '/' {
		rest = rest[1:]
	}
	return name, rest, true
}

// last goes on until one component is left.
func (w *walk) last() Errno {
	w.leap()
	for {
		name, rest, slash := cut(w.rest)
		if rest == "" {
			w.name, w.slash = name, slash
			w.arrive()
			return ESUCCESS
		}
		w.rest = rest
		switch name {
		case ".":
		case "..":
			w.up()
		default:
			if e := w.down(name); e != ESUCCESS {
				return e
			}
		}
	}
}

// up goes to the directory above, which for the root is the root.
func (w *walk) up() {
	if parent := w.at.parent; parent != nil {
		parent.use()
		w.at.release()
		w.at = parent
	}
}

// down goes to a directory, or on with what a link says.
func (w *walk) down(name string) Errno {
	for {
		fd, err := w.ways.openat(w.at.fd, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
		if err == nil {
			w.at = &directory{fd: fd, parent: w.at, root: w.at.root, users: 1, name: name}
			return ESUCCESS
		}
		if err != unix.ENOTDIR {
			return errnoOf(err)
		}
		text, e := w.link(name)
		if e == ESUCCESS {
			w.rest = text + "/" + w.rest
			w.fromRoot()
			w.begin.straight = false
			return ESUCCESS
		}
		if e != EINVAL {
			return e
		}
		if e := w.changed(name); e != ESUCCESS {
			return e
		}
	}
}

// changed is for what was neither a directory nor, a moment later, a link. It is
// neither: ENOTDIR. Or others have exchanged the two meanwhile, and the walk tries
// again, but not for ever.
func (w *walk) changed(name string) Errno {
	var st unix.Stat_t
	if err := fstatat(w.at.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return errnoOf(err)
	}
	if kind := filetypeOf(st.Mode); kind != Directory && kind != SymbolicLink {
		return ENOTDIR
	}
	if w.links++; w.links > maxLinks {
		return ELOOP
	}
	return ESUCCESS
}

// fromRoot goes to the root if what is left is absolute.
func (w *walk) fromRoot() {
	if w.rest == "" || w.rest[0] != '/' {
		return
	}
	_, w.rest, _ = cut(w.rest)
	if w.rest == "" {
		w.rest = "."
	}
	top := w.at.top().use()
	w.at.release()
	w.at = top
}

// found is the directory at the end of the walk, which has been opened.
func (w *walk) found(fd int) *directory {
	d := &directory{fd: fd, root: w.at.root, users: 1}
	if w.kernel {
		return d
	}
	d.parent = w.at
	if w.name == "." {
		d.parent = w.at.parent
	}
	if d.parent != nil {
		d.parent.use()
	}
	return d
}

// settle makes the last component one in which a lookup can end: "..", which a call
// would follow out of the root, becomes "." of the directory above. That is a
// directory, also without a slash behind it.
func (w *walk) settle() {
	if w.name == ".." {
		w.up()
		w.name = "."
	}
	if w.name == "." {
		w.slash = false
	}
}

// next goes on with what the link at the end says. EINVAL if there is none.
func (w *walk) next() Errno {
	text, e := w.link(w.name)
	if e != ESUCCESS {
		return e
	}
	w.rest = text
	if w.slash {
		w.rest += "/"
	}
	w.fromRoot()
	if e = w.last(); e != ESUCCESS {
		w.own = -1 // it was on the way, and is no directory
	}
	return e
}

// link reads a link that is to be followed. EINVAL if it is none; ELOOP for too
// many, and for those of a procfs that are no paths but lead anywhere, as with
// RESOLVE_NO_MAGICLINKS of openat2(2).
func (w *walk) link(name string) (string, Errno) {
	var buffer [pathMax + 1]byte
	n, err := readlinkat(w.at.fd, name, buffer[:])
	if err != nil {
		return "", errnoOf(err)
	}
	if n == len(buffer) {
		return "", ENAMETOOLONG
	}
	if w.links++; w.links > maxLinks {
		return "", ELOOP
	}
	text := string(buffer[:n])
	if e := w.at.examine(); e != ESUCCESS {
		return "", e
	}
	if w.at.procfs && (text == "" || text[0] == '/' || strings.IndexByte(text, ':') >= 0) {
		// /dev/stdout and /dev/fd/3 end here, in /proc/self/fd. Whoever's they are,
		// a guest gets no more than its own.
		if number, err := strconv.ParseUint(name, 10, 31); err == nil {
			w.own = int(number)
		}
		return "", ELOOP
	}
	return text, ESUCCESS
}

// examine finds out whether a directory is of a procfs.
func (d *directory) examine() (e Errno) {
	if !d.examined {
		d.procfs, e = onProcfs(d.fd)
		d.examined = e == ESUCCESS
	}
	return e
}

// onProcfs tells whether a file is of a procfs.
func onProcfs(fd int) (bool, Errno) {
	var info unix.Statfs_t
	if err := retry(func() error { return unix.Fstatfs(fd, &info) }); err != nil {
		return false, errnoOf(err)
	}
	return info.Type == unix.PROC_SUPER_MAGIC, ESUCCESS
}
