package quick

import (
	"context"
	"errors"
	"io/fs"
	"syscall"
	"time"
)

// lockPause is the time between attempts to get a lock that another one holds.
const lockPause = 2 * time.Millisecond

// Lock is held by whoever is about to create, reuse or remove a socket: start,
// delete, and the daemon when it goes. It is a file beside the socket, locked by
// flock(2), so it ends with its holder. Its holder removes it, which is why
// taking it means to check that it is still there.
type Lock struct {
	fd   int
	path string
}

// LockSocket waits for the lock of a socket until ctx ends, but no longer than
// patience. errors.Is(err, fs.ErrNotExist) holds when the directory is not there.
func LockSocket(ctx context.Context, patience time.Duration, socket string) (*Lock, error) {
	path := socket + ".lock"
	waiting := false
	for {
		l, err := tryLock(path)
		if err != nil {
			return nil, &failure{"lock socket", err}
		}
		if l != nil {
			return l, nil
		}
		if !waiting {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, patience)
			defer cancel()
			waiting = true
		}
		t := time.NewTimer(lockPause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil, &failure{"lock socket: another process holds " + path, ctx.Err()}
		}
	}
}

// tryLock returns nil when another process has the lock.
func tryLock(path string) (*Lock, error) {
	fd, err := open(path, syscall.O_RDWR|syscall.O_CREAT|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = syscall.Close(fd)
		if errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) {
			return nil, nil
		}
		return nil, &fs.PathError{Op: "flock", Path: path, Err: err}
	}
	if !same(fd, path) {
		_ = syscall.Close(fd) // its last holder removed it: begin again with a new one
		return nil, nil
	}
	return &Lock{fd, path}, nil
}

func same(fd int, path string) bool {
	var have, want syscall.Stat_t
	return syscall.Fstat(fd, &have) == nil && syscall.Lstat(path, &want) == nil &&
		have.Dev == want.Dev && have.Ino == want.Ino
}

// Unlock gives the lock back.
func (l *Lock) Unlock() {
	_ = remove(l.path)
	_ = syscall.Close(l.fd)
}
