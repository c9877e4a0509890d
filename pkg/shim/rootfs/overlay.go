package rootfs

import (
	"errors"
	"fmt"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

const lowerOption = "lowerdir="

// temporary begins the names of directories where mapped layers are for a moment.
const temporary = "wazero-idmapped"

// longData is the size in bytes from which the options of an overlay are shortened:
// the kernel takes a page. It is so much less because containerd allows as much.
func longData() int { return os.Getpagesize() - 512 }

func mountOverlay(source, target string, o *options, users *os.File) error {
	if users != nil {
		done, err := o.mapLowers(users)
		if err != nil {
			return fmt.Errorf("failed to prepare idmapped overlay: %w", err)
		}
		defer done()
	}
	dir := ""
	if len(strings.Join(o.data, ",")) >= longData() {
		dir = o.shorten()
	}
	return o.mount(dir, source, target, "overlay")
}

// lowers are the lower directories of an overlay, and which option has them.
func (o *options) lowers() (dirs []string, at int) {
	at = slices.IndexFunc(o.data, func(option string) bool { return strings.HasPrefix(option, lowerOption) })
	if at < 0 {
		return nil, at
	}
	return strings.Split(strings.TrimPrefix(o.data[at], lowerOption), ":"), at
}

// shorten makes the lower directories relative to the directory that is returned, in
// which mount is to be called. It does nothing, and returns "", where they have
// nothing in common.
func (o *options) shorten() (dir string) {
	dirs, at := o.lowers()
	dir = common(dirs)
	if dir == "" || len(dirs) == 1 {
		return ""
	}
	o.rebase(at, dirs, dir, "")
	return dir
}

// rebase moves lower directories from below one directory to below another.
func (o *options) rebase(at int, dirs []string, from, to string) {
	moved := make([]string, len(dirs))
	for i, dir := range dirs {
		moved[i] = path.Join(to, strings.TrimPrefix(dir, from+"/"))
	}
	o.data[at] = lowerOption + strings.Join(moved, ":")
}

// common is the innermost directory above all of dirs; "" if that is the root, or a
// path is relative or has an escaped colon, of which one cannot be sure where it
// ends.
func common(dirs []string) string {
	if len(dirs) == 0 {
		return ""
	}
	dir := path.Dir(dirs[0])
	for _, d := range dirs {
		if !path.IsAbs(d) || strings.Contains(d, `\`) {
			return ""
		}
		for dir != "/" && !strings.HasPrefix(d, dir+"/") {
			dir = path.Dir(dir)
		}
	}
	if dir == "/" || dir == "." {
		return ""
	}
	return dir
}

// mapLowers makes the lower directories those of a mount in which the users are
// mapped, as overlays cannot do it for all of theirs. It is to be given up by done
// once the overlay is mounted, which keeps it.
func (o *options) mapLowers(users *os.File) (done func(), err error) {
	dirs, at := o.lowers()
	if at < 0 {
		return nil, errors.New("failed to parse overlay lowerdir's from given options")
	}
	dir := common(dirs)
	if dir == "" {
		return nil, fmt.Errorf("invalid common directory of %q", dirs)
	}
	mapped, err := os.MkdirTemp("", temporary)
	if err != nil {
		return nil, err
	}
	if err := mapUsers(dir, mapped, users, unix.MOUNT_ATTR_RDONLY); err != nil {
		return nil, errors.Join(err, os.Remove(mapped))
	}
	o.rebase(at, dirs, dir, mapped)
	return func() {
		_ = unix.Unmount(mapped, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		_ = os.Remove(mapped)
	}, nil
}

// in calls f on a thread of its own with a working directory of its own. The thread
// ends with the goroutine.
func in(dir string, f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_FS)
		if err == nil {
			err = unix.Chdir(dir)
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}
