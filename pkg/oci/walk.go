package oci

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// maxLinks is how many symbolic links Linux follows in one path.
	maxLinks = 40
	// maxDepth bounds the directories held open at a time.
	maxDepth = 256
)

// node is a place in the tree.
type node struct {
	// fd is a handle without access; -1 for a directory that does not exist
	// yet: runc creates it, to mount something on it or below it.
	fd int
	// path in the container, without symbolic links.
	path string
	stat unix.Stat_t
	// hidden: the content is unknown, but for what is mounted below.
	hidden bool
	// sameMount: reached through a bind mount that is not recursive.
	sameMount bool
	// ignoreModes: the owner in stat is not the owner in the container.
	ignoreModes bool
}

func (n *node) isDir() bool { return n.fd < 0 || isDir(&n.stat) }

// walk resolves one path. The stack holds the root and every directory on the
// way down, so that ".." is the directory from which we came and never a parent
// to which somebody moved it.
type walk struct {
	tree  *Tree
	who   User
	stack []*node
	links int
	// create: what does not exist is taken as a directory to be made.
	create bool
	// denied is the first directory that who may not search; the walk goes on.
	denied error
}

func newWalk(t *Tree, who User) *walk {
	root := &node{fd: t.root, path: "/"}
	// The root exists and is a directory; a failure shows as mode 0.
	root.stat, _ = fstat(t.root)
	return &walk{tree: t, who: who, stack: []*node{root}}
}

func (w *walk) top() *node { return w.stack[len(w.stack)-1] }

func (w *walk) close() { w.popTo(1) }

// popTo leaves the first n nodes on the stack. The root is the tree's.
func (w *walk) popTo(n int) {
	for len(w.stack) > n {
		if fd := w.top().fd; fd >= 0 {
			unix.Close(fd)
		}
		w.stack = w.stack[:len(w.stack)-1]
	}
}

// to walks on along a path, whose leading slashes mean nothing: a walk begins at
// the root. A trailing slash demands a directory.
func (w *walk) to(guestPath string) error {
	if len(guestPath) >= unix.PathMax {
		return unix.ENAMETOOLONG
	}
	todo := strings.Split(guestPath, "/")
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		if !w.top().isDir() {
			return unix.ENOTDIR
		}
		switch name {
		case "", ".":
			continue
		case "..":
			w.search()
			w.popTo(max(1, len(w.stack)-1))
			continue
		}
		link, err := w.down(name)
		if err != nil {
			return err
		}
		if link == "" {
			continue
		}
		if w.links++; w.links > maxLinks {
			return unix.ELOOP
		}
		if strings.HasPrefix(link, "/") {
			w.popTo(1)
		}
		todo = append(strings.Split(link, "/"), todo...)
	}
	return nil
}

// down enters one entry of the current directory, or returns the target of the
// symbolic link that it is.
func (w *walk) down(name string) (link string, err error) {
	w.search()
	if len(w.stack) > maxDepth {
		return "", unix.ENAMETOOLONG
	}
	if strings.IndexByte(name, 0) >= 0 {
		return "", unix.EINVAL
	}
	parent := w.top()
	n := &node{
		fd:          -1,
		path:        strings.TrimSuffix(parent.path, "/") + "/" + name,
		sameMount:   parent.sameMount,
		ignoreModes: parent.ignoreModes,
	}
	if m, ok := w.tree.mounts[n.path]; ok {
		err = n.mount(m)
	} else {
		link, err = n.enter(parent, name)
		missing := errors.Is(err, unix.ENOENT) || errors.Is(err, errHidden)
		if missing && (w.create || w.tree.mounts.below(n.path)) {
			n.hidden = errors.Is(err, errHidden)
			err = nil
		}
	}
	if err != nil {
		return "", err
	}
	if link == "" {
		w.stack = append(w.stack, n)
	}
	return link, nil
}

// mount puts the node on what is mounted at its path.
func (n *node) mount(m mount) (err error) {
	n.sameMount, n.ignoreModes = m.sameMount, m.idMapped
	if m.source == "" {
		n.hidden = true
		return nil
	}
	if n.fd, err = openHandle(m.source); err != nil {
		return fmt.Errorf("source %q of the mount at %q: %w", m.source, n.path, err)
	}
	return n.inspect()
}

// enter puts the node on an entry of its parent, or returns a link's target.
func (n *node) enter(parent *node, name string) (link string, err error) {
	switch {
	case parent.hidden:
		return "", errHidden
	case parent.fd < 0:
		return "", unix.ENOENT
	}
	if n.fd, err = openEntry(parent.fd, name, n.sameMount); err != nil {
		n.fd = -1
		if errors.Is(err, unix.EXDEV) {
			// The mount does not come along; what it covers cannot be seen.
			return "", errHidden
		}
		return "", err
	}
	if err := n.inspect(); err != nil {
		return "", err
	}
	if n.stat.Mode&unix.S_IFMT != unix.S_IFLNK {
		return "", nil
	}
	defer unix.Close(n.fd)
	return readLink(n.fd)
}

func (n *node) inspect() (err error) {
	if n.stat, err = fstat(n.fd); err != nil {
		unix.Close(n.fd)
		n.fd = -1
	}
	return err
}

// search minds the permission to pass through the current directory.
func (w *walk) search() {
	n := w.top()
	if w.denied != nil || n.fd < 0 || n.ignoreModes || w.who.maySearch(&n.stat) || hasACL(n.fd) {
		return
	}
	w.denied = deniedError(n.path, &n.stat, w.who)
}

func fstat(fd int) (st unix.Stat_t, err error) {
	err = unix.Fstat(fd, &st)
	return st, err
}

func isDir(st *unix.Stat_t) bool { return st.Mode&unix.S_IFMT == unix.S_IFDIR }
