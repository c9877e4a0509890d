package codecache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// dir is the cache's directory, opened and checked. A nil dir can be closed.
type dir struct {
	path                          string
	root, entries, locks, digests int
	// tree is a private read-only mount of entries: who gets a file that was
	// opened through it cannot open it again for writing. It is negative on
	// kernels without mount_setattr(2).
	tree int
}

// openDir opens the directory, and creates it if it is missing. The error is a
// reason to run without.
func (c *Cache) openDir() (*dir, error) {
	if err := os.MkdirAll(filepath.Dir(c.config.Dir), 0o755); err != nil {
		return nil, err
	}
	if err := os.Mkdir(c.config.Dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return openDir(c.config.Dir, true)
}

// tryDir returns nil, and logs why, if there is no directory to use.
func (c *Cache) tryDir() *dir {
	if c.config.Disabled {
		return nil
	}
	d, err := c.openDir()
	if err != nil {
		c.warn(err)
		return nil
	}
	return d
}

// openDir is for a directory that exists; create creates what is missing in it.
func openDir(path string, create bool) (_ *dir, err error) {
	d := &dir{path: path, root: -1, entries: -1, locks: -1, digests: -1, tree: -1}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	if d.root, err = openPrivate(unix.AT_FDCWD, path, path); err != nil {
		return nil, err
	}
	for _, part := range []struct {
		name string
		fd   *int
	}{{"entries", &d.entries}, {"locks", &d.locks}, {"digests", &d.digests}} {
		if *part.fd, err = d.openPart(part.name, create); err != nil {
			return nil, err
		}
	}
	if tree, err := readOnlyMount(d.entries); err == nil {
		d.tree = tree
	}
	return d, nil
}

func (d *dir) openPart(name string, create bool) (int, error) {
	full := filepath.Join(d.path, name)
	fd, err := openPrivate(d.root, name, full)
	if !errors.Is(err, fs.ErrNotExist) || !create {
		return fd, err
	}
	if err := unix.Mkdirat(d.root, name, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
		return -1, &fs.PathError{Op: "mkdir", Path: full, Err: err}
	}
	return openPrivate(d.root, name, full)
}

// openPrivate opens a directory that nobody but root can have meddled with.
func openPrivate(at int, name, full string) (int, error) {
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return -1, fmt.Errorf("%s is not a directory, or a symbolic link to one: remove it", full)
	}
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: full, Err: err}
	}
	if err := checkPrivate(fd, full); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func checkPrivate(fd int, full string) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return &fs.PathError{Op: "stat", Path: full, Err: err}
	}
	switch {
	case st.Uid != 0:
		return fmt.Errorf("%s belongs to the user %d, who could exchange the code: make it root's (chown root)", full, st.Uid)
	case st.Mode&0o077 != 0:
		return fmt.Errorf("%s can be entered by others than root (mode %04o): take that away (chmod 700)", full, st.Mode&0o7777)
	}
	return nil
}

// readOnlyMount is a mount of a directory in no mount namespace.
func readOnlyMount(fd int) (int, error) {
	tree, err := unix.OpenTree(fd, "", unix.AT_EMPTY_PATH|unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return -1, os.NewSyscallError("open_tree", err)
	}
	attr := unix.MountAttr{
		Attr_set:    unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV,
		Propagation: unix.MS_PRIVATE,
	}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		unix.Close(tree)
		return -1, os.NewSyscallError("mount_setattr", err)
	}
	return tree, nil
}

func (d *dir) close() {
	if d == nil {
		return
	}
	for _, fd := range []int{d.root, d.entries, d.locks, d.digests, d.tree} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// names lists a directory.
func names(fd int) ([]string, error) {
	again, err := unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("open", err)
	}
	f := os.NewFile(uintptr(again), "the cache")
	defer f.Close()
	return f.Readdirnames(-1)
}
