package codecache

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/entry"
)

// keyLock is the right to compile for a key, on this node.
//
// Its file is removed by whoever gives the lock up. Those who waited hold the
// removed file then: they have lost the lock, but know that the work is done. What
// they should know besides, a refusal, is written into the file after it has been
// removed, so that only they can read it.
type keyLock struct {
	dir  *dir
	name string
	file *os.File
	// lost tells that the lock was given up by somebody who finished while we
	// waited for it.
	lost bool
}

// lock waits for the lock of a key: as long as its holder lives. The error may
// be what the holder left: *Refused, ErrLimit or errUnstored.
func (d *dir) lock(key entry.Digest) (*keyLock, error) {
	l := &keyLock{dir: d, name: key.String()}
	fd, err := unix.Openat(d.locks, l.name, unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create a lock in %s: %w", d.path, err)
	}
	l.file = os.NewFile(uintptr(fd), l.name)
	for err = unix.EINTR; errors.Is(err, unix.EINTR); {
		err = unix.Flock(fd, unix.LOCK_EX)
	}
	if err == nil {
		l.lost, err = l.isRemoved()
	}
	if err == nil && l.lost {
		err = l.readNote()
	}
	if err != nil {
		closeUnlocked(l.file)
		return nil, err
	}
	return l, nil
}

func (l *keyLock) isRemoved() (bool, error) {
	var ours, named unix.Stat_t
	if err := unix.Fstat(int(l.file.Fd()), &ours); err != nil {
		return false, os.NewSyscallError("fstat", err)
	}
	err := unix.Fstatat(l.dir.locks, l.name, &named, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return true, nil
	}
	if err != nil {
		return false, os.NewSyscallError("fstatat", err)
	}
	return !sameFile(&ours, &named), nil
}

// readNote returns what the former holder left: an error, or nil if the work is
// done.
func (l *keyLock) readNote() error {
	note, err := io.ReadAll(io.NewSectionReader(l.file, 0, maxNote))
	if err != nil {
		return nil
	}
	return fromNote(note)
}

// release gives the lock up, if it is ours. Those who wait get err if it is one
// for all of them.
func (l *keyLock) release(err error) {
	defer closeUnlocked(l.file)
	if l.lost || unix.Unlinkat(l.dir.locks, l.name, 0) != nil {
		return
	}
	note := noteOf(err)
	if note == nil {
		return
	}
	if n, _ := l.file.WriteAt(note, 0); n == 0 {
		// A hole needs no room on a full disk. It reads as a note of no kind.
		_ = l.file.Truncate(1)
	}
}
