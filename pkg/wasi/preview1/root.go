package preview1

// root is a directory that a guest found open. Paths cannot leave it, whatever the
// symbolic links in it say.
type root struct {
	// readOnly makes it look like a file system that is mounted so.
	readOnly bool
	// confined tells that the kernel itself resolves paths within: see Preopen.
	confined bool
}

// directory is one that is open, with those above it up to the root, so that ".."
// leads to where it was found and never further. It is closed with its last user.
type directory struct {
	fd     int
	parent *directory // nil for the root, and where the kernel resolves paths
	root   *root
	users  int
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
	d.directory = &directory{fd: p.FD, root: &root{readOnly: p.ReadOnly, confined: p.Confined}, users: 1}
	d.readOnly = p.ReadOnly
	return d, nil
}
