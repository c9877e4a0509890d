package room

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Mount is something below the root.
type Mount struct {
	// Source is a directory or a file of the host; empty for a tmpfs.
	Source string
	// Target is a path in the room.
	Target string
	// Recursive takes what is mounted below the source, too.
	Recursive bool
	// Set and Clear are attributes (MOUNT_ATTR_…) of the mount itself, SetAll
	// those of everything below it as well.
	Set    uint64
	Clear  uint64
	SetAll uint64
	// Slave lets mounts arrive that the host makes below the source later on.
	Slave bool
	// Options of a tmpfs, "key=value".
	Options []string
}

// harmless are the attributes of everything in the room. Device nodes work in
// /dev alone.
const (
	inert    = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC
	harmless = inert | unix.MOUNT_ATTR_NODEV
)

// builder makes the room of which root is a handle.
type builder struct {
	room *Room
	root int
	// closed are handles of mounts that become read-only at the end: other things
	// are mounted in them, or made.
	closed []int
}

// build makes the root of the room the root of the process, with nothing left of
// the host's.
func (r *Room) build(prepared func() error) error {
	// Nothing that is mounted here is seen outside; what the host mounts still
	// arrives, for mounts that want it.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("detach the mounts from those of the host: %w", err)
	}
	root, err := cloneTree(r.Root, true)
	if err != nil {
		return fmt.Errorf("root.path %q: %w", r.Root, err)
	}
	defer unix.Close(root)
	if err := setAttributes(root, true, unix.MountAttr{Attr_set: harmless, Propagation: unix.MS_PRIVATE}); err != nil {
		return fmt.Errorf("root.path %q: %w", r.Root, err)
	}
	// It has to be somewhere before it can be moved to /.
	if err := unix.MoveMount(root, "", unix.AT_FDCWD, r.Root, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("mount the root %q: %w", r.Root, err)
	}
	b := &builder{room: r, root: root}
	for i := range r.Mounts {
		if err := b.mount(&r.Mounts[i]); err != nil {
			return fmt.Errorf("mount %s: %w", r.Mounts[i].Target, err)
		}
	}
	steps := []func() error{b.fillDev, b.hide, b.makeCwd}
	if r.Hooks {
		steps = append(steps, prepared)
	}
	for _, step := range append(steps, b.close) {
		if err := step(); err != nil {
			return err
		}
	}
	return r.pivot(root)
}

// makeCwd makes the working directory if it is not there.
func (b *builder) makeCwd() error {
	fd, err := b.place(b.room.Cwd, directory)
	if err != nil {
		return fmt.Errorf("process.cwd %q: %w", b.room.Cwd, err)
	}
	return unix.Close(fd)
}

// close makes the root and others read-only, when everything is in its place.
func (b *builder) close() error {
	readOnly := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	for _, tree := range b.closed {
		err := setAttributes(tree, false, readOnly)
		unix.Close(tree)
		if err != nil {
			return fmt.Errorf("make a tmpfs read-only: %w", err)
		}
	}
	if !b.room.ReadOnly {
		return nil
	}
	if err := setAttributes(b.root, false, readOnly); err != nil {
		return fmt.Errorf("make the root read-only: %w", err)
	}
	return nil
}

// pivot makes the mount behind a handle the root.
func (r *Room) pivot(root int) error {
	if err := unix.Fchdir(root); err != nil {
		return fmt.Errorf("enter the root: %w", err)
	}
	// The old root comes to lie over the new one, and is taken away there.
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root to %q: %w", r.Root, err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount the old root: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return fmt.Errorf("enter the root: %w", err)
	}
	return nil
}

// mount mounts one thing.
func (b *builder) mount(m *Mount) error {
	tree, kind, err := b.open(m)
	if err != nil {
		return err
	}
	defer unix.Close(tree)
	target, err := b.place(m.Target, kind)
	if err != nil {
		return err
	}
	defer unix.Close(target)
	// The kernel would say EINVAL.
	if there, err := kindOf(target); err != nil {
		return err
	} else if there != kind {
		return fmt.Errorf("a %s cannot be mounted on a %s", kind, there)
	}
	if err := moveTo(tree, target); err != nil {
		return err
	}
	if m.Source != "" || m.Set&unix.MOUNT_ATTR_RDONLY == 0 {
		return nil
	}
	later, err := unix.FcntlInt(uintptr(tree), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("dup", err)
	}
	b.closed = append(b.closed, later)
	return nil
}

// open makes a mount that is nowhere yet.
func (b *builder) open(m *Mount) (tree int, kind kind, err error) {
	if m.Source == "" {
		open := *m
		open.Set &^= unix.MOUNT_ATTR_RDONLY // see builder.closed
		tree, err = b.newTmpfs(&open)
		return tree, directory, err
	}
	if tree, err = cloneTree(m.Source, m.Recursive); err != nil {
		return -1, 0, fmt.Errorf("source %q: %w", m.Source, err)
	}
	defer func() {
		if err != nil {
			unix.Close(tree)
		}
	}()
	all := unix.MountAttr{Attr_set: harmless | m.SetAll}
	if !m.Slave {
		all.Propagation = unix.MS_PRIVATE
	}
	if err := setAttributes(tree, true, all); err != nil {
		return -1, 0, err
	}
	if err := setAttributes(tree, false, unix.MountAttr{Attr_set: m.Set, Attr_clr: m.Clear}); err != nil {
		return -1, 0, err
	}
	kind, err = kindOf(tree)
	return tree, kind, err
}

func kindOf(fd int) (kind, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, os.NewSyscallError("fstat", err)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return directory, nil
	}
	return file, nil
}

// newTmpfs makes a tmpfs. As with runc it takes the mode of the directory that it
// hides, unless the options have one.
func (b *builder) newTmpfs(m *Mount) (int, error) {
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, os.NewSyscallError("fsopen", err)
	}
	defer unix.Close(fs)
	options := m.Options
	if !hasKey(options, "mode") {
		if mode, ok := b.modeOf(m.Target); ok {
			options = append(options[:len(options):len(options)], fmt.Sprintf("mode=%o", mode))
		}
	}
	for _, o := range options {
		key, value, _ := strings.Cut(o, "=")
		if err := unix.FsconfigSetString(fs, key, value); err != nil {
			return -1, fmt.Errorf("option %q: %w", o, err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, fmt.Errorf("options %q: %w", options, err)
	}
	attributes := harmless | m.Set
	if b.isDev(m) {
		attributes = inert | m.Set&^unix.MOUNT_ATTR_NODEV
	}
	tree, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, int(attributes))
	if err != nil {
		return -1, os.NewSyscallError("fsmount", err)
	}
	return tree, nil
}

func hasKey(options []string, key string) bool {
	for _, o := range options {
		if strings.HasPrefix(o, key+"=") {
			return true
		}
	}
	return false
}

// cloneTree makes a mount of a path of the host.
func cloneTree(path string, recursive bool) (int, error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	return retry(func() (int, error) { return unix.OpenTree(unix.AT_FDCWD, path, flags) })
}

func setAttributes(tree int, recursive bool, a unix.MountAttr) error {
	if a == (unix.MountAttr{}) {
		return nil
	}
	flags := uint(unix.AT_EMPTY_PATH)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	return os.NewSyscallError("mount_setattr", unix.MountSetattr(tree, "", flags, &a))
}

func moveTo(tree, target int) error {
	err := unix.MoveMount(tree, "", target, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
	return os.NewSyscallError("move_mount", err)
}

func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}
