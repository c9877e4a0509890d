package oci

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Tree is a container's file tree as its processes see it, for resolving paths
// safely from outside. It is safe for concurrent use.
//
// Resolution goes component by component from handle to handle and follows
// symbolic links itself, so that nothing which the container changes meanwhile
// leads out of the tree.
type Tree struct {
	root int
	// mounts of the spec that are not mounted yet; nil for a live container.
	mounts mountTable
}

// BundleTree is the tree of a container that does not exist yet: the directory
// rootfs, and on top of it the mounts of the spec in their order.
//
// A bind mount shows its source, which must be an absolute path (Config.Tree
// makes it one). Any other mount hides what lies below it.
func BundleTree(rootfs string, mounts []specs.Mount) (*Tree, error) {
	root, err := openHandle(rootfs)
	if err != nil {
		return nil, invalidf("root.path: open %q: %v", rootfs, err)
	}
	t := &Tree{root: root}
	st, err := fstat(root)
	if err != nil {
		t.Close()
		return nil, fmt.Errorf("stat root file system %q: %w", rootfs, err)
	}
	if !isDir(&st) {
		t.Close()
		return nil, invalidf("root.path: %q: not a directory", rootfs)
	}
	for _, m := range mounts {
		t.addMount(m)
	}
	return t, nil
}

// LiveTree is the tree of a running container, whose mounts are really there.
// The caller keeps pid from being reaped during the call. The tree stays usable
// after the process has gone.
func LiveTree(pid int) (*Tree, error) {
	root, err := openHandle(fmt.Sprintf("/proc/%d/root", pid))
	if err != nil {
		return nil, fmt.Errorf("open the root of process %d: %w", pid, err)
	}
	return &Tree{root: root}, nil
}

// Close releases the tree. Files that were opened through it stay open.
func (t *Tree) Close() error {
	if t.root < 0 {
		return os.ErrClosed
	}
	err := unix.Close(t.root)
	t.root = -1
	return err
}

// Open opens a regular file for reading and returns the path to which guestPath
// resolved. A relative guestPath starts at the root. Open neither blocks on a
// FIFO nor touches a device: these are errors. Other errors wrap the errno:
// ENOENT, ENOTDIR, EISDIR, ELOOP, ENAMETOOLONG, and EACCES when who may not read
// the file or search a directory on the way.
func (t *Tree) Open(guestPath string, who User) (f *os.File, resolved string, err error) {
	e, err := t.open(guestPath, who)
	if err != nil {
		return nil, "", err
	}
	if e.denied != nil {
		e.file.Close()
		return nil, "", e.denied
	}
	return e.file, e.path, nil
}

// opened is an open regular file.
type opened struct {
	file *os.File
	// path of the file in the container.
	path string
	stat unix.Stat_t
	// denied says why the user may not read it; nil if he may.
	denied error
}

// open is Open, but leaves it to the caller to mind the permissions: a program
// may be executable and not readable.
func (t *Tree) open(guestPath string, who User) (*opened, error) {
	w := newWalk(t, who)
	defer w.close()
	if err := w.to(guestPath); err != nil {
		if w.denied != nil {
			err = w.denied
		}
		return nil, &os.PathError{Op: "open", Path: guestPath, Err: err}
	}
	top := w.top()
	if err := regular(top); err != nil {
		return nil, &os.PathError{Op: "open", Path: guestPath, Err: err}
	}
	if w.denied == nil && !top.ignoreModes && !who.mayRead(&top.stat) && !hasACL(top.fd) {
		w.denied = deniedError(top.path, &top.stat, who)
	}
	f, err := reopen(top.fd, top.path)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: guestPath, Err: err}
	}
	return &opened{file: f, path: top.path, stat: top.stat, denied: w.denied}, nil
}

// errNotRegular is what Open says of FIFOs, sockets and devices.
var errNotRegular = errors.New("not a regular file")

func regular(n *node) error {
	switch {
	case n.fd < 0 && n.hidden:
		return errHidden
	case n.isDir():
		return unix.EISDIR
	case n.stat.Mode&unix.S_IFMT != unix.S_IFREG:
		return errNotRegular
	}
	return nil
}

func deniedError(guestPath string, st *unix.Stat_t, who User) error {
	return fmt.Errorf("%q (mode %04o, owner %d:%d) is closed to user %d:%d: %w",
		guestPath, st.Mode&0o7777, st.Uid, st.Gid, who.UID, who.GID, unix.EACCES)
}

// mountTable holds the visible mounts of a spec by their destination, which is
// an absolute path without symbolic links.
type mountTable map[string]mount

type mount struct {
	// source on the host of a bind mount; "" for a mount that hides.
	source string
	// sameMount: what is mounted below the source does not come along.
	sameMount bool
	// idMapped: owners are not what the host sees.
	idMapped bool
}

// below tells whether a mount lies somewhere below dir.
func (t mountTable) below(dir string) bool {
	for p := range t {
		if strings.HasPrefix(p, dir+"/") {
			return true
		}
	}
	return false
}

// addMount does to the table what mounting does to the tree. runc resolves the
// destination inside the root file system and creates what is missing. One that
// does not resolve is left out: runc will refuse it with a better error.
func (t *Tree) addMount(m specs.Mount) {
	// runc's tmpcopyup fills a tmpfs with what it hides.
	if slices.Contains(m.Options, "tmpcopyup") {
		return
	}
	w := newWalk(t, User{Unknown: true})
	defer w.close()
	w.create = true
	if err := w.to(m.Destination); err != nil && !errors.Is(err, errHidden) {
		return
	}
	dest := w.top().path
	if dest == "/" {
		return
	}
	for p := range t.mounts {
		if p == dest || strings.HasPrefix(p, dest+"/") {
			delete(t.mounts, p)
		}
	}
	if t.mounts == nil {
		t.mounts = mountTable{}
	}
	t.mounts[dest] = mountOf(m)
}

func mountOf(m specs.Mount) mount {
	recursive := slices.Contains(m.Options, "rbind")
	if m.Type != "bind" && !recursive && !slices.Contains(m.Options, "bind") {
		return mount{}
	}
	if !filepath.IsAbs(m.Source) {
		return mount{}
	}
	return mount{
		source:    m.Source,
		sameMount: !recursive,
		idMapped: len(m.UIDMappings) > 0 || len(m.GIDMappings) > 0 ||
			slices.Contains(m.Options, "idmap") || slices.Contains(m.Options, "ridmap"),
	}
}

// guestJoin joins a path of the container to its working directory.
func guestJoin(cwd, name string) string {
	if path.IsAbs(name) {
		return name
	}
	// Not path.Join: "a/../b" must be resolved, not cleaned, where a is a
	// symbolic link.
	return strings.TrimSuffix(cwd, "/") + "/" + name
}
