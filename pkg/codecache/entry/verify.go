package entry

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
)

// Verify reads the whole file, a regular one or a memfd, and returns its header
// if it is the entry of this module for this engine, every bit of it as Create
// wrote it. It does not move the file's offset. Errors are those of reading, and
// ErrDamaged, ErrOtherFormat, ErrOtherModule and ErrOtherEngine with a reason.
//
// What is true of a file may be false a moment later: nobody else must be able to
// write to it.
func Verify(f *os.File, module Digest, engine Engine) (*Header, error) {
	h, err := VerifyAny(f)
	switch {
	case err != nil:
		return nil, err
	case h.Module != module:
		return nil, fmt.Errorf("%w: %s instead of %s", ErrOtherModule, h.Module, module)
	case h.Engine != engine:
		return nil, fmt.Errorf("%w: %q instead of %q", ErrOtherEngine, h.Engine, engine)
	}
	return h, nil
}

// VerifyAny is Verify for an entry of any module and engine.
func VerifyAny(f *os.File) (*Header, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read cache entry: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: it is not a regular file", ErrDamaged)
	}
	h, err := ReadHeader(f)
	if err != nil {
		return nil, err
	}
	if info.Size() != h.Size() {
		return nil, fmt.Errorf("%w: it has %d bytes instead of %d", ErrDamaged, info.Size(), h.Size())
	}
	if err := h.verifyRest(f); err != nil {
		return nil, err
	}
	return h, nil
}

// verifyRest reads what follows the header.
func (h *Header) verifyRest(f io.ReaderAt) error {
	sum := sha256.New()
	buffer := make([]byte, min(bufferSize, h.Size()))
	paddingBegin, paddingEnd := headerSize+h.PrefixSize, h.CodeOffset
	for at := int64(headerSize); at < h.Size(); {
		b := buffer[:min(int64(len(buffer)), h.Size()-at)]
		n, err := f.ReadAt(b, at)
		if n < len(b) {
			if err == nil || errors.Is(err, io.EOF) {
				return fmt.Errorf("%w: it ends after %d bytes", ErrDamaged, at+int64(n))
			}
			return fmt.Errorf("read cache entry: %w", err)
		}
		sum.Write(b)
		for i := max(paddingBegin, at); i < min(paddingEnd, at+int64(n)); i++ {
			if b[i-at] != 0 {
				return fmt.Errorf("%w: there is something between its parts", ErrDamaged)
			}
		}
		at += int64(n)
	}
	if Digest(sum.Sum(nil)) != h.Sum {
		return fmt.Errorf("%w: the sum of its content is wrong", ErrDamaged)
	}
	return nil
}
