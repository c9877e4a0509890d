package preview1

import (
	"strings"

	"golang.org/x/sys/unix"
)

// ways remembers the directories that paths led through, which stay open: to ask
// whether one is still what its name stands for takes a third of the time that it
// takes to open and close it.
type ways struct {
	known [8]way
	next  int // which to forget next
}

// way is a path that led from a directory to another.
type way struct {
	from, to *directory
	path     string
	// straight tells that the path is the names of all directories in between, without
	// ".." and links.
	straight bool
}

// find returns the directory to which a path leads, if it is known and still does.
func (k *ways) find(from *directory, path string) *directory {
	for i := range k.known {
		w := &k.known[i]
		if w.from != from || w.path != path {
			continue
		}
		if w.holds() {
			return w.to
		}
		w.forget()
	}
	return nil
}

// holds tells whether the path still leads there, and through the same directories:
// "..", in a link there, goes to them.
//
// Each name is looked at in the directory above, and no link is followed. For a path
// with links, or "..", that says where the directory is, but not that the path leads
// there. In the process's own root the kernel is asked for that. It cannot be led
// further than the guest, but for the links of a procfs, and even then nothing comes
// of it but that the answer is no.
func (w *way) holds() bool {
	var st unix.Stat_t
	if !w.straight && (fstatat(w.from.fd, w.path, &st, 0) != nil || !w.to.is(&st)) {
		return false
	}
	for d := range w.through {
		if fstatat(d.parent.fd, d.name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil || !d.is(&st) {
			return false
		}
	}
	return true
}

// through are the directories from the end up to where the way begins; without that
// on it up to the root, or to one that the guest has opened, which stays where it was
// found.
func (w *way) through(yield func(*directory) bool) {
	for d := w.to; d != w.from && d.name != "" && yield(d); d = d.parent {
	}
}

// is tells whether attributes are the directory's. While it is open, nothing else has
// its inode.
func (d *directory) is(st *unix.Stat_t) bool { return st.Ino == d.inode && st.Dev == d.device }

// depth is how many directories are above.
func (d *directory) depth() (n int) {
	for ; d.parent != nil; d = d.parent {
		n++
	}
	return n
}

// identify finds out what is compares.
func (d *directory) identify() bool {
	if d.identified {
		return true
	}
	var st unix.Stat_t
	if fstat(d.fd, &st) != nil {
		return false
	}
	d.device, d.inode, d.identified = st.Dev, st.Ino, true
	return true
}

// deepest bounds what stays open for a way: the directories up to the root.
const deepest = 16

// keep remembers a way that was walked.
func (k *ways) keep(w way) {
	if w.to.depth() > deepest || !w.to.identify() || !w.straight && !w.from.root.own {
		return
	}
	for d := range w.through {
		if !d.identify() {
			return
		}
	}
	w.from.use()
	w.to.use()
	k.known[k.next].forget()
	k.known[k.next] = w
	k.next = (k.next + 1) % len(k.known)
}

func (w *way) forget() {
	if w.from != nil {
		w.from.release()
		w.to.release()
	}
	*w = way{}
}

// leave forgets what begins at a directory that the guest closes.
func (k *ways) leave(from *directory) {
	for i := range k.known {
		if from != nil && k.known[i].from == from {
			k.known[i].forget()
		}
	}
}

// clear forgets everything: at the end, and while a guest waits, so that it does not
// keep busy what others want to unmount. It tells whether there was anything.
func (k *ways) clear() (known bool) {
	for i := range k.known {
		known = known || k.known[i].from != nil
		k.known[i].forget()
	}
	return known
}

// spare is for a call that failed for want of descriptors, and tells to repeat it. What
// is remembered counts as the guest's own by RLIMIT_NOFILE, which knows nothing of it.
func (k *ways) spare(e Errno) bool {
	return (e == EMFILE || e == ENFILE) && k.clear()
}

// openat is the system call.
func (k *ways) openat(dir int, name string, flags int, mode uint32) (int, error) {
	fd, err := openat(dir, name, flags, mode)
	if err != nil && k.spare(errnoOf(err)) {
		return openat(dir, name, flags, mode)
	}
	return fd, err
}

// leap goes to the last component at once, if the way is known. Otherwise the walk
// keeps in mind where it is, for arrive.
func (w *walk) leap() {
	w.forgetBegin()
	end := strings.LastIndexByte(strings.TrimRight(w.rest, "/"), '/')
	if end <= 0 {
		return
	}
	path := w.rest[:end]
	if to := w.ways.find(w.at, path); to != nil {
		to.use()
		w.at.release()
		w.at = to
		w.rest = strings.TrimLeft(w.rest[end:], "/")
		return
	}
	w.begin = way{from: w.at.use(), path: path, straight: straight(path)}
}

// straight tells whether a path has nothing but names in it.
func straight(path string) bool {
	for path != "" {
		var name string
		if name, path, _ = cut(path); name == ".." {
			return false
		}
	}
	return true
}

// arrive remembers the way from where the walk leapt in vain.
func (w *walk) arrive() {
	if w.begin.from != nil && w.at != w.begin.from {
		w.begin.to = w.at
		w.ways.keep(w.begin)
	}
	w.forgetBegin()
}

func (w *walk) forgetBegin() {
	if w.begin.from != nil {
		w.begin.from.release()
		w.begin = way{}
	}
}
