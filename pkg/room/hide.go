package room

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// hide takes away what masked paths have to read, and read-only ones to write.
func (b *builder) hide() error {
	for _, name := range b.room.Masked {
		if err := b.over(name, b.nothing); err != nil {
			return fmt.Errorf("linux.maskedPaths %q: %w", name, err)
		}
	}
	for _, name := range b.room.ReadOnlyPaths {
		if err := b.over(name, b.readOnly); err != nil {
			return fmt.Errorf("linux.readonlyPaths %q: %w", name, err)
		}
	}
	return nil
}

// over mounts what cover makes of a path over it, if it is there.
func (b *builder) over(name string, cover func(target int) (int, error)) error {
	target, err := b.openInside(name, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(target)
	tree, err := cover(target)
	if err != nil {
		return err
	}
	defer unix.Close(tree)
	return moveTo(tree, target)
}

// nothing is an empty directory, or a file without content.
func (b *builder) nothing(target int) (int, error) {
	var st unix.Stat_t
	if err := unix.Fstat(target, &st); err != nil {
		return -1, err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return b.newTmpfs(&Mount{Target: "/", Set: unix.MOUNT_ATTR_RDONLY, Options: []string{"size=0k", "nr_inodes=1", "mode=0555"}})
	}
	tree, err := cloneTree("/dev/null", false)
	if err != nil {
		return -1, err
	}
	return tree, setAttributes(tree, false, unix.MountAttr{Attr_set: inert | unix.MOUNT_ATTR_RDONLY})
}

func (b *builder) readOnly(target int) (int, error) {
	tree, err := unix.OpenTree(target, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH|unix.AT_RECURSIVE)
	if err != nil {
		return -1, err
	}
	return tree, setAttributes(tree, false, unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY, Propagation: unix.MS_PRIVATE})
}
