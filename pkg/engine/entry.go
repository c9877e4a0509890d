package engine

import (
	"errors"
	"fmt"
	"io"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/entry"
)

// StaleError says that an entry of the cache does not hold code for a module, or
// is damaged. None of its code has been executed.
type StaleError struct {
	// Reason goes on after "the entry cannot be used: ".
	Reason string
}

func (e *StaleError) Error() string { return "the entry cannot be used: " + e.Reason }

func stale(format string, args ...any) error {
	return &StaleError{Reason: fmt.Sprintf(format, args...)}
}

// Entry is the content of an entry of the cache, in memory. It does not need the
// file any more.
type Entry struct {
	header         *entry.Header
	prefix, suffix []byte
	// code is a mapping of its own, nil if there is no code, or if wazero has it.
	code   []byte
	shared bool
}

// OpenEntry maps the code of an entry, or copies it if private is true. If it
// cannot be mapped in a way that allows executing it, it is copied too. What the
// file says has been verified by whoever sent it; here it is only checked as far
// as wazero trusts it. An error is a *StaleError if the entry is to blame.
//
// Changes of the file would change the mapped code: nobody but the cache must be
// able to write to it.
func OpenEntry(file *os.File, private bool) (*Entry, error) {
	header, err := entry.ReadHeader(file)
	if err != nil {
		return nil, stale("%v", err)
	}
	if header.Engine != entry.Current() {
		return nil, stale("it is for another engine, %s", header.Engine)
	}
	// The size is that of the file now; a cache never changes an entry.
	info, err := file.Stat()
	if err != nil {
		return nil, stale("%v", err)
	}
	if info.Size() != header.Size() {
		return nil, stale("it has %d bytes instead of %d", info.Size(), header.Size())
	}
	if header.PrefixSize > maxPrefix || header.SuffixSize != suffixSize {
		return nil, stale("a part of it has an impossible size")
	}
	e := &Entry{header: header, prefix: make([]byte, header.PrefixSize), suffix: make([]byte, suffixSize)}
	if err := errors.Join(readAt(file, e.prefix, header.PrefixOffset()), readAt(file, e.suffix, header.SuffixOffset())); err != nil {
		return nil, stale("%v", err)
	}
	if header.CodeSize == 0 {
		e.shared = !private
		return e, nil
	}
	if !private && e.mapShared(file) {
		return e, nil
	}
	if err := e.copyCode(file); err != nil {
		return nil, err
	}
	return e, nil
}

// maxPrefix bounds a prefix in bytes: no module has more functions than bytes.
const maxPrefix = 8*MaxModuleSize/4 + 1<<10

func readAt(r io.ReaderAt, b []byte, offset int64) error {
	_, err := r.ReadAt(b, offset)
	return err
}

// mapShared maps the code in the way in which the file's other users do. Without
// PROT_WRITE, a private mapping shares its pages, and is safe from mprotect.
func (e *Entry) mapShared(file *os.File) bool {
	if e.header.CodeOffset%int64(unix.Getpagesize()) != 0 {
		return false
	}
	code, err := mmap(int(file.Fd()), e.header.CodeOffset, int(e.header.CodeSize), unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return false
	}
	// A noexec mount or a policy may be against it.
	err = unix.Mprotect(code, unix.PROT_READ|unix.PROT_EXEC)
	if err == nil {
		err = unix.Mprotect(code, unix.PROT_READ)
	}
	if err != nil {
		munmap(code)
		return false
	}
	// All of it is about to be read for a checksum.
	_ = unix.Madvise(code, unix.MADV_POPULATE_READ)
	e.code, e.shared = code, true
	return true
}

func (e *Entry) copyCode(file *os.File) error {
	code, err := mmap(-1, 0, int(e.header.CodeSize), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return fmt.Errorf("allocate memory for the machine code: %w", err)
	}
	if err := readAt(file, code, e.header.CodeOffset); err != nil {
		munmap(code)
		return stale("%v", err)
	}
	e.code = code
	return nil
}

// Shared tells whether the code is in pages that other processes use too.
func (e *Entry) Shared() bool { return e.shared }

// CodeSize is the size of the machine code in bytes.
func (e *Entry) CodeSize() int64 { return e.header.CodeSize }

// Close gives back what has not become part of a module.
func (e *Entry) Close() {
	if e.code != nil {
		munmap(e.code)
		e.code = nil
	}
}

// Check tells whether the entry is one for this module. The error is a
// *StaleError. Load does this too, but when the file of the module may have been
// closed already, from which to compile otherwise.
func (e *Entry) Check(m *Module) error {
	if e.header.EngineKey != m.Key {
		return stale("it holds the code of another module")
	}
	if err := checkParts(e.prefix, e.suffix, e.header.CodeSize, m.functions); err != nil {
		return stale("%v", err)
	}
	return nil
}

// mmap is unix.Mmap for memory that changes hands: it keeps no record.
func mmap(fd int, offset int64, size, prot, flags int) ([]byte, error) {
	address, err := unix.MmapPtr(fd, offset, nil, uintptr(size), prot, flags)
	if err != nil {
		return nil, err
	}
	return unsafe.Slice((*byte)(address), size), nil
}

func munmap(b []byte) { _ = unix.MunmapPtr(unsafe.Pointer(&b[0]), uintptr(len(b))) }
