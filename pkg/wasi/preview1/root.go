package preview1

import "golang.org/x/sys/unix"

// root is a directory that a guest found open. Paths cannot leave it, whatever the
// symbolic links in it say.
type root struct {
	// confined tells that the kernel itself resolves paths within: see Preopen.
	confined bool
	// own tells that it is the root of this process.
	own bool
}

// directory is one that is open, with those above it up to the root, so that ".."
// leads to where it was found and never further. It is closed with its last user.
type directory struct {
	fd     int
	parent *directory // nil for the root, and where the kernel resolves paths
	root   *root
	users  int
	// name is that in parent by which it was found.
	name string
	// identified tells that device and inode are known, and examined that procfs is.
	identified, examined bool
	device, inode        uint64
	procfs               bool
}

func (d *directory) use() *directory {
	d.users++
	return d
}

func (d *directory) release() {
	for d != nil {
		if d.users--; d.users > 0 {
			return
		}
		closeFD(d.fd)
		d = d.parent
	}
}

// top is the root's directory.
func (d *directory) top() *directory {
	for d.parent != nil {
		d = d.parent
	}
	return d
}

// newPreopen takes what a guest is to find open.
func newPreopen(p Preopen) (*descriptor, error) {
	d, err := newDescriptor(p.FD)
	if err != nil || d.kind != Directory {
		return d, err
	}
	d.name, d.named = p.Name, true
	d.directory = &directory{fd: p.FD, root: &root{confined: p.Confined}, users: 1}
	var st unix.Stat_t
	d.directory.root.own = unix.Stat("/", &st) == nil && d.directory.identify() && d.directory.is(&st)
	d.readOnly = p.ReadOnly
	return d, nil
}
