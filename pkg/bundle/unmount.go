package bundle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

const (
	// busyPatience is how long a busy mount may become free before it is
	// detached: a process that was just killed may still be going away.
	busyPatience = 500 * time.Millisecond
	busyPause    = 10 * time.Millisecond
)

// UnmountRootfs unmounts everything at and below Rootfs, innermost first. What is
// busy, or takes longer than ctx allows, is detached: it vanishes from the tree
// at once and is released when its last user is gone. Nothing mounted there, or
// no bundle at all, is no error.
func (d Dir) UnmountRootfs(ctx context.Context) error {
	root, err := filepath.EvalSymlinks(d.Path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find bundle: %w", err)
	}
	root = filepath.Join(root, rootfsDir)
	if unmountOne(ctx, root) {
		return nil
	}
	// A mount may hide others of the same path: each round removes one layer.
	for range 100 {
		points, err := mountsBelow(root)
		if err != nil {
			return err
		}
		if len(points) == 0 {
			return nil
		}
		for i := len(points) - 1; i >= 0; i-- {
			if err := unmount(ctx, points[i]); err != nil {
				return err
			}
		}
	}
	return fmt.Errorf("unmount %s: there is no end of mounts", root)
}

// unmountOne is for the usual case, in which there is one mount and nobody uses it:
// a node's list of mounts may be long. It tells whether there is none any more.
// Mounts below it would have kept it busy.
func unmountOne(ctx context.Context, root string) bool {
	ctx, cancel := context.WithTimeout(ctx, busyPatience)
	defer cancel()
	if umount2(ctx, root, 0) != nil {
		return false
	}
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, root, unix.AT_SYMLINK_NOFOLLOW|unix.AT_STATX_DONT_SYNC, 0, &st)
	const attribute = unix.STATX_ATTR_MOUNT_ROOT // known since Linux 5.8
	return err == nil && st.Attributes_mask&attribute != 0 && st.Attributes&attribute == 0
}

func unmount(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, busyPatience)
	defer cancel()
	for {
		switch err := umount2(ctx, path, 0); {
		case err == nil, errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT):
			// EINVAL: no longer a mount point; another helper was faster.
			return nil
		case errors.Is(err, unix.EBUSY) && sleep(ctx, busyPause):
			continue
		case errors.Is(err, unix.EBUSY), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
			return detach(path)
		default:
			return fmt.Errorf("unmount %s: %w", path, err)
		}
	}
}

func detach(path string) error {
	err := unix.Unmount(path, unix.UMOUNT_NOFOLLOW|unix.MNT_DETACH)
	if err == nil || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
		return nil
	}
	return fmt.Errorf("detach %s: %w", path, err)
}

// umount2 returns early with ctx's error; the system call, which may hang on a
// dead server or a slow disk, goes on in the background.
func umount2(ctx context.Context, path string, flags int) error {
	done := make(chan error, 1)
	go func() { done <- unix.Unmount(path, unix.UMOUNT_NOFOLLOW|flags) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sleep returns false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// mountsBelow lists the mount points at and below root in the order of mounting.
func mountsBelow(root string) ([]string, error) {
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(root))
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	points := make([]string, len(mounts))
	for i, m := range mounts {
		points[i] = m.Mountpoint
	}
	return points, nil
}
