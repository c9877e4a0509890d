package preview1

import (
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// ownDescriptors is where /dev/stdout, /dev/fd and the like lead, from the root.
	ownDescriptors = "proc/self/fd/"
	// mostMissing is how much of a path is not there if a link leads to one of the
	// directories above: self, fd and the number.
	mostMissing = 3
)

// findOwn finds out whether a path that leads nowhere, all links followed, would lead
// to one of the guest's own descriptors if there were a procfs. A room has none, but
// the usual links in /dev, and images have links to those.
//
// What is not there is looked for all the time, and mostly costs nothing here: the path
// has a link at its end, or ends in a number that the guest has open, or this cannot be.
// Who makes such links gets no more than what it has.
func (w *walk) findOwn() bool {
	if root := w.from.root; !root.confined && !root.own || w.links == 0 && !w.numbered(w.path) {
		return false
	}
	at := w.path
	for range maxLinks + 1 {
		if last := at[strings.LastIndexByte(at, '/')+1:]; last == "" || last == "." {
			return false // it is to be a directory
		}
		next, ok := w.substitute(tidy(at))
		if !ok {
			return w.isOwn(tidy(at))
		}
		at = next
	}
	return false
}

// makesOwn tells whether open(2) must not be called, as it might make a file where one
// of the guest's own descriptors is meant.
func (w *walk) makesOwn(flags int) bool { return flags&unix.O_CREAT != 0 && w.findOwn() }

// numbered tells whether the last name of a path is the number of a descriptor that
// the guest has.
func (w *walk) numbered(at string) bool {
	name := at[strings.LastIndexByte(at, '/')+1:]
	number, err := strconv.ParseUint(name, 10, 31)
	if err != nil || strconv.FormatUint(number, 10) != name {
		return false
	}
	_, e := w.files.get(uint32(number), 0)
	return e == ESUCCESS
}

// tidy leaves out what says nothing. ".." stays: what it means depends on links.
func tidy(at string) string {
	names := strings.Split(at, "/")
	kept := names[:0]
	for i, name := range names {
		if name != "" && name != "." || i == 0 && name == "" { // the latter is the slash of an absolute one
			kept = append(kept, name)
		}
	}
	return strings.Join(kept, "/")
}

// substitute puts what a link says in its place: the one at the end of a path, or else
// the last one before what is not there.
func (w *walk) substitute(at string) (string, bool) {
	var buffer [pathMax]byte
	link, rest := at, ""
	for range mostMissing + 1 {
		n, err := readlinkat(w.from.fd, link, buffer[:])
		if err == nil {
			text := string(buffer[:n])
			if !strings.HasPrefix(text, "/") {
				text = link[:strings.LastIndexByte(link, '/')+1] + text
			}
			return text + rest, true
		}
		i := strings.LastIndexByte(link, '/')
		if err != unix.ENOENT || i <= 0 || !w.numbered(at) {
			return "", false
		}
		link, rest = link[:i], link[i:]+rest
	}
	return "", false
}

// isOwn tells whether a path without links names one of the guest's own descriptors,
// which own then is.
func (w *walk) isOwn(at string) bool {
	number := path.Base(at)
	root, ok := strings.CutSuffix(at, ownDescriptors+number)
	if !ok || root != "" && !strings.HasSuffix(root, "/") || !w.numbered(at) || !w.isRoot(root) {
		return false
	}
	var err error
	w.own, err = strconv.Atoi(number)
	return err == nil
}

// isRoot tells whether a path leads to the process's root.
func (w *walk) isRoot(at string) bool {
	if at == "" {
		at = "."
	}
	var its, root unix.Stat_t
	return fstatat(w.from.fd, at, &its, 0) == nil && fstatat(unix.AT_FDCWD, "/", &root, 0) == nil &&
		its.Ino == root.Ino && its.Dev == root.Dev
}
