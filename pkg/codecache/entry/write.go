package entry

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
)

// bufferSize is that of all copying and hashing, in bytes: large enough for the
// system calls not to matter, small enough to be taken for each.
const bufferSize = 128 << 10

// Create writes an entry into f, which must be empty. It takes the module, the
// engine, the key and the sizes of the parts from h, and the parts, one right
// after the other, from payload, which has to end there.
//
// Errors are sentences about h or payload, and those of reading and writing. f
// is no entry after an error: its header is written last.
func Create(f *os.File, h Header, payload io.Reader) error {
	if err := h.check(); err != nil {
		return fmt.Errorf("create cache entry: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("create cache entry: %w", err)
	}
	if info.Size() != 0 {
		return fmt.Errorf("create cache entry: the file has %d bytes already", info.Size())
	}
	h.CodeOffset = codeOffset(h.PrefixSize)
	w := &writer{file: f, at: headerSize, sum: sha256.New(), buffer: make([]byte, bufferSize)}
	padding := h.CodeOffset - headerSize - h.PrefixSize
	for _, part := range []struct {
		from io.Reader
		size int64
	}{{payload, h.PrefixSize}, {zeros{}, padding}, {payload, h.CodeSize + h.SuffixSize}} {
		if err := w.copy(part.from, part.size); err != nil {
			return fmt.Errorf("create cache entry: %w", err)
		}
	}
	if err := expectEOF(payload); err != nil {
		return fmt.Errorf("create cache entry: %w", err)
	}
	w.sum.Sum(h.Sum[:0])
	if _, err := f.WriteAt(h.encode()[:], 0); err != nil {
		return fmt.Errorf("create cache entry: %w", err)
	}
	return nil
}

// writer appends to a file and sums up what it wrote.
type writer struct {
	file   *os.File
	at     int64
	sum    hash.Hash
	buffer []byte
}

// copy appends exactly size bytes.
func (w *writer) copy(from io.Reader, size int64) error {
	for size > 0 {
		b := w.buffer[:min(size, int64(len(w.buffer)))]
		n, err := io.ReadFull(from, b)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("the code ends %d bytes early", size-int64(n))
		}
		if err != nil {
			return err
		}
		if _, err := w.file.WriteAt(b, w.at); err != nil {
			return err
		}
		w.sum.Write(b)
		w.at += int64(n)
		size -= int64(n)
	}
	return nil
}

func expectEOF(r io.Reader) error {
	var b [1]byte
	switch _, err := io.ReadFull(r, b[:]); {
	case err == nil:
		return errors.New("there is more code than was announced")
	case errors.Is(err, io.EOF):
		return nil
	default:
		return err
	}
}

// zeros is an endless supply of them.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
