package codecache

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/entry"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/memfd"
)

// code is a verified entry: a file of the cache with a shared lock, which tells
// that it is in use, or a sealed memfd. All Codes of this process for it share
// it. refs and state are guarded by the cache's mutex.
//
// The descriptor with the lock is never handed out: the lock belongs to the open
// file description, and its other holders could unlock it.
type code struct {
	file   *os.File
	key    entry.Digest
	header *entry.Header
	// state is that of the file when it was verified; the zero value for a memfd.
	state fileState
	// exposed tells that a holder of file could open it again for writing.
	exposed bool
	refs    int
}

// fileState changes whenever a file's content or its place in the cache does.
type fileState struct {
	dev, ino     uint64
	size         int64
	mtime, ctime unix.Timespec
}

func stateOf(st *unix.Stat_t) fileState {
	return fileState{uint64(st.Dev), st.Ino, st.Size, st.Mtim, st.Ctim}
}

// sameFile tells whether a and b are states of one inode.
func sameFile(a, b *unix.Stat_t) bool { return a.Dev == b.Dev && a.Ino == b.Ino }

func sameInode(a, b *os.File) bool {
	var sa, sb unix.Stat_t
	return unix.Fstat(int(a.Fd()), &sa) == nil && unix.Fstat(int(b.Fd()), &sb) == nil && sameFile(&sa, &sb)
}

// release gives up one reference.
func (c *Cache) release(used *code) {
	c.mu.Lock()
	used.refs--
	last := used.refs == 0
	if last && c.stored[used.key] == used {
		delete(c.stored, used.key)
	}
	c.mu.Unlock()
	if last {
		closeUnlocked(used.file)
	}
}

// closeUnlocked closes a file and gives up its lock. Closing alone is not enough:
// a child that is being forked has the descriptor until it executes.
func closeUnlocked(f *os.File) {
	_ = unix.Flock(int(f.Fd()), unix.LOCK_UN)
	f.Close()
}

// open returns a descriptor of its own for somebody who is not trusted.
func (c *code) open() (*os.File, error) {
	if c.exposed {
		return c.copy()
	}
	return reopen(c.file)
}

// reopen opens a file again, on the mount through which it has been opened, with
// an offset and locks of its own.
func reopen(f *os.File) (*os.File, error) {
	fd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open the compiled code again: %w", err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// copy returns a sealed memfd, for kernels without private read-only mounts.
func (c *code) copy() (*os.File, error) {
	f, err := memfd.New("code")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if _, err := io.Copy(f, io.NewSectionReader(c.file, 0, c.header.Size())); err != nil {
		return nil, fmt.Errorf("copy the compiled code: %w", err)
	}
	if err := memfd.Seal(f); err != nil {
		return nil, err
	}
	return reopen(f)
}
