package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// lockPause is the time between attempts to get a lock that another one holds.
const lockPause = 2 * time.Millisecond

// lock is held by whoever is about to create, reuse or remove a socket: start,
// delete, and the daemon when it goes. It is a file beside the socket, locked by
// flock(2), so it ends with its holder. Its holder removes it, which is why
// taking it means to check that it is still there.
type lock struct{ file *os.File }

// lockSocket waits for the lock of a socket until ctx ends.
// errors.Is(err, fs.ErrNotExist) holds when the directory is not there.
func lockSocket(ctx context.Context, socket string) (*lock, error) {
	path := socket + ".lock"
	for {
		l, err := tryLock(path)
		if err != nil {
			return nil, fmt.Errorf("lock socket: %w", err)
		}
		if l != nil {
			return l, nil
		}
		t := time.NewTimer(lockPause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil, fmt.Errorf("lock socket: another process holds %s: %w", path, ctx.Err())
		}
	}
}

// tryLock returns nil when another process has the lock.
func tryLock(path string) (*lock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, unix.EINTR) {
			return nil, nil
		}
		return nil, &fs.PathError{Op: "flock", Path: path, Err: err}
	}
	if !same(f, path) {
		_ = f.Close() // its last holder removed it: begin again with a new one
		return nil, nil
	}
	return &lock{f}, nil
}

func same(f *os.File, path string) bool {
	have, err := f.Stat()
	if err != nil {
		return false
	}
	want, err := os.Lstat(path)
	return err == nil && os.SameFile(have, want)
}

func (l *lock) unlock() {
	_ = os.Remove(l.file.Name())
	_ = l.file.Close()
}
