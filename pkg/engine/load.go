package engine

import (
	"context"
	"fmt"
	"io"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tetratelabs/wazero"
)

// Load makes a module ready to run with the code of an entry. r is from
// NewLoader; if it fails, another attempt needs another r. The entry is closed.
//
// The error is a *StaleError if the entry is to blame, ErrInternals, or a
// sentence about the module. Nothing is ever compiled here.
func (r *Runtime) Load(ctx context.Context, m *Module, e *Entry) (_ wazero.CompiledModule, err error) {
	defer e.Close()
	if err := e.Check(m); err != nil {
		return nil, err
	}
	outline, err := m.Outline()
	if err != nil {
		return nil, err
	}
	if err := r.provide(ctx, outline); err != nil {
		return nil, err
	}
	feed := &feed{entry: e}
	r.exchange.offer = feed
	compiled, err := r.CompileModule(ctx, m.skeleton)
	switch {
	case err != nil && feed.begun():
		feed.takeBack()
		return nil, stale("%v", err)
	case err != nil:
		// The compiler has accepted it, so this is not the user's fault.
		return nil, fmt.Errorf("%w: it does not accept module %q without functions: %w", ErrInternals, m.name, err)
	case !feed.done() || r.exchange.compiled != nil:
		// The functions of the skeleton only trap.
		return nil, fmt.Errorf("%w: it has not taken the code", ErrInternals)
	}
	if e.shared && e.code == nil {
		// The checksum has touched all pages; the guest may need few of them.
		_ = unix.Madvise(feed.target, unix.MADV_DONTNEED)
	}
	return compiled, nil
}

// feed is an entry as wazero reads it: the numbers of the prefix one by one, then
// all the code at once into the memory where it will be executed.
type feed struct {
	entry  *Entry
	at     int64  // how much has been read
	target []byte // wazero's mapping for the code
}

func (f *feed) begun() bool { return f.at > 0 }

func (f *feed) done() bool {
	h := f.entry.header
	// Without code, wazero does not look at its checksum.
	return f.at == h.PrefixSize+h.CodeSize+tailSize || h.CodeSize == 0 && f.at >= h.PrefixSize
}

// Read implements io.Reader.
func (f *feed) Read(b []byte) (int, error) {
	h := f.entry.header
	var n int
	switch at := f.at; {
	case at < h.PrefixSize:
		n = copy(b, f.entry.prefix[at:])
	case at == h.PrefixSize && int64(len(b)) == h.CodeSize && f.give(b):
		n = len(b)
	case at < h.PrefixSize+h.CodeSize:
		n = copy(b, f.entry.code[at-h.PrefixSize:])
	default:
		n = copy(b, f.entry.suffix[at-h.PrefixSize-h.CodeSize:tailSize])
	}
	if n == 0 && len(b) > 0 {
		return 0, io.EOF
	}
	f.at += int64(n)
	return n, nil
}

// give moves the entry's mapping to where wazero wants to have the code. wazero
// checks its sum there and makes it executable.
func (f *feed) give(b []byte) bool {
	// This changes nothing, but fails if b is not a whole mapping that wazero has
	// made for it.
	if _, err := unix.Mremap(b, len(b), 0); err != nil {
		return false
	}
	f.target = b
	code := f.entry.code
	_, err := unix.MremapPtr(unsafe.Pointer(&code[0]), uintptr(len(code)), unsafe.Pointer(&b[0]), uintptr(len(b)), unix.MREMAP_MAYMOVE|unix.MREMAP_FIXED)
	if err != nil {
		return false
	}
	f.entry.code = nil
	return true
}

// takeBack frees the memory that wazero forgets when it refuses code.
func (f *feed) takeBack() {
	if f.target != nil {
		_ = unix.Munmap(f.target)
	}
}

// Close implements io.Closer.
func (f *feed) Close() error { return nil }
