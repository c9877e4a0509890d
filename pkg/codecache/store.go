package codecache

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// temporary begins the name of what is in the directory of entries without being
// one. A file with such a name is locked by its writer.
const temporary = "tmp-"

// mostRaces bounds how often something is tried again because others were faster.
const mostRaces = 20

var (
	// errNoFile is the error of what is in an entry's place and no regular file.
	errNoFile = errors.New("not a regular file in the place of a cache entry")
	// errNoLock is the error if files never are what they were a moment ago.
	errNoLock = errors.New("files cannot be locked reliably")
)

// openEntry opens an entry and marks it as in use by a shared lock, which lasts
// until it is closed. errors.Is(err, fs.ErrNotExist) holds if there is none.
func (d *dir) openEntry(name string) (*os.File, error) {
	for range mostRaces {
		var st unix.Stat_t
		if err := unix.Fstatat(d.entries, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return nil, &fs.PathError{Op: "stat", Path: name, Err: err}
		}
		if st.Mode&unix.S_IFMT != unix.S_IFREG {
			return nil, errNoFile
		}
		f, err := d.openFile(name)
		if err != nil {
			return nil, err
		}
		if err := lockShared(f); err != nil {
			f.Close()
			return nil, err
		}
		if d.isNamed(name, int(f.Fd())) {
			return f, nil
		}
		closeUnlocked(f) // it was replaced or removed: look again
	}
	return nil, errNoLock
}

// openFile opens a file for reading in the way in which it may be handed on.
func (d *dir) openFile(name string) (*os.File, error) {
	at := d.tree
	if at < 0 {
		at = d.entries
	}
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), filepath.Join(d.path, "entries", name)), nil
}

// isNamed tells whether fd is the file of that name.
func (d *dir) isNamed(name string, fd int) bool {
	var a, b unix.Stat_t
	return unix.Fstatat(d.entries, name, &a, unix.AT_SYMLINK_NOFOLLOW) == nil && unix.Fstat(fd, &b) == nil && sameFile(&a, &b)
}

// lockShared waits only for those who look whether the file is in use, or are
// about to remove it: an entry that is being evicted is gone. Nobody may keep an
// entry from being used by holding an exclusive lock.
func lockShared(f *os.File) error {
	err := error(unix.EWOULDBLOCK)
	for n := 0; n < 100 && errors.Is(err, unix.EWOULDBLOCK); n++ {
		if n > 0 {
			time.Sleep(time.Millisecond)
		}
		err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = fs.ErrNotExist
	}
	if err != nil {
		return &fs.PathError{Op: "lock", Path: f.Name(), Err: err}
	}
	return nil
}

// touch makes an entry the one that was used last.
func (d *dir) touch(name string) {
	// A read-only disk is no reason not to use it.
	_ = unix.UtimesNanoAt(d.entries, name, []unix.Timespec{{Nsec: unix.UTIME_NOW}, {Nsec: unix.UTIME_OMIT}}, unix.AT_SYMLINK_NOFOLLOW)
}

// put stores compiled code under its key. There is nothing in its place, or
// another entry, which goes. The new one is in use from the beginning. Errors
// are reasons for running without cache.
func (d *dir) put(compiled *code, maxSize int64) (_ *code, err error) {
	if size := compiled.header.Size(); size > maxSize {
		return nil, fmt.Errorf("compiled code of %d bytes is larger than the whole cache may be (%d): raise cache_size", size, maxSize)
	}
	name, w, f, err := d.createTemporary()
	if err != nil {
		return nil, fmt.Errorf("write to %s: %w", d.path, err)
	}
	defer func() {
		w.Close()
		if err != nil {
			_ = unix.Unlinkat(d.entries, name, 0)
			closeUnlocked(f)
			err = fmt.Errorf("write to %s: %w", d.path, err)
		}
	}()
	if _, err := io.Copy(w, io.NewSectionReader(compiled.file, 0, compiled.header.Size())); err != nil {
		return nil, cause(err)
	}
	// Without it a crash may leave the name without the content. That would be
	// found and repaired, but the next start would pay.
	if err := w.Sync(); err != nil {
		return nil, cause(err)
	}
	if err := unix.Renameat(d.entries, name, d.entries, compiled.key.String()); err != nil {
		return nil, err
	}
	return &code{file: f, key: compiled.key, header: compiled.header, exposed: d.tree < 0, refs: 1}, nil
}

// cause is an error without the name of a file, so that the same one with
// another file is logged once.
func cause(err error) error {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}

// createTemporary returns a new file, open for writing as w and in use as f.
func (d *dir) createTemporary() (name string, w, f *os.File, err error) {
	for range mostRaces {
		name = temporary + rand.Text()
		fd, err := unix.Openat(d.entries, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		if err != nil {
			return "", nil, nil, err
		}
		w = os.NewFile(uintptr(fd), name)
		f, err = d.claim(name, fd)
		if err == nil {
			return name, w, f, nil
		}
		w.Close()
		if !errors.Is(err, fs.ErrNotExist) {
			_ = unix.Unlinkat(d.entries, name, 0)
			return "", nil, nil, cause(err)
		}
	}
	return "", nil, nil, errNoLock
}

// claim opens a new file for reading and locks it. Somebody who cleans up may
// have been faster: then errors.Is(err, fs.ErrNotExist) holds.
func (d *dir) claim(name string, fd int) (*os.File, error) {
	f, err := d.openFile(name)
	if err != nil {
		return nil, err
	}
	if err = lockShared(f); err == nil && !d.isNamed(name, fd) {
		err = fs.ErrNotExist
	}
	if err != nil {
		closeUnlocked(f)
		return nil, err
	}
	return f, nil
}

// drop removes what is in an entry's place, whatever it is. It follows no
// symbolic link.
func (d *dir) drop(name string) error {
	err := unix.Unlinkat(d.entries, name, 0)
	if errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EPERM) {
		err = d.dropDirectory(name)
	}
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove a damaged entry from %s: %w", d.path, cause(err))
	}
	return nil
}

// dropDirectory moves it out of the way first: removing it may take its time.
func (d *dir) dropDirectory(name string) error {
	trash := name
	if !strings.HasPrefix(name, temporary) {
		trash = temporary + rand.Text()
		if err := unix.Renameat(d.entries, name, d.entries, trash); err != nil {
			return err
		}
	}
	return os.RemoveAll(fmt.Sprintf("/proc/self/fd/%d/%s", d.entries, trash))
}

// dropUnused removes a regular file unless it is in use.
func (d *dir) dropUnused(name string) (bool, error) {
	f, err := d.openFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	defer closeUnlocked(f)
	if !lockExclusive(f) || !d.isNamed(name, int(f.Fd())) {
		return false, nil
	}
	return true, d.drop(name)
}

// lockExclusive succeeds if nobody uses the file. The lock must not be kept.
func lockExclusive(f *os.File) bool {
	return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil
}

// clean removes what writers who are gone have left.
func (d *dir) clean(name string) (bool, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(d.entries, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return false, nil
	}
	if st.Mode&unix.S_IFMT == unix.S_IFREG {
		return d.dropUnused(name)
	}
	return true, d.drop(name)
}
