package engine

import (
	"errors"
	"fmt"
	"hash"
	"io"

	"golang.org/x/sys/unix"
)

// windowSize is what is read of a file at once, in bytes: large enough for the
// system calls not to matter, small enough to stay in the CPU's cache until it
// has been hashed.
const windowSize = 256 << 10

// errShort is the end of a module where more was expected.
var errShort = errors.New("it ends too early")

// errLong is a number that is too large.
var errLong = errors.New("a number is longer than 32 bits")

// source reads a file from its begin to its end, each byte at most once, and
// sums up a part of what it reads.
type source struct {
	file   io.ReaderAt
	at     int64  // where the file is read next
	size   int64  // of the file, in bytes
	window []byte // what has been read
	mapped bool   // window is not on the heap
	pos    int    // what of window has been taken
	sum    hash.Hash
	summed int // what of window has been summed up; -1 while nothing shall be
}

// newSource takes memory for the window that does not stay on Go's heap, which a
// runner would keep as long as its guest runs; see free.
func newSource(file io.ReaderAt, size int64, sum hash.Hash) *source {
	s := &source{file: file, size: size, sum: sum, summed: -1}
	n := int(min(windowSize, size))
	window, err := mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if s.mapped = err == nil; s.mapped {
		s.window = window[:0]
	} else {
		s.window = make([]byte, 0, n)
	}
	return s
}

// free gives the window back. Nothing that next or peek returned is good any more.
func (s *source) free() {
	if s.mapped {
		munmap(s.window[:cap(s.window)])
	}
	s.window, s.mapped = nil, false
}

// offset is the place in the file of what is taken next.
func (s *source) offset() int64 { return s.at - int64(len(s.window)-s.pos) }

// left is the number of bytes that have not been taken.
func (s *source) left() int64 { return s.size - s.offset() }

// startSum makes what is taken from now on count, stopSum ends it.
func (s *source) startSum() { s.summed = s.pos }

func (s *source) stopSum() {
	s.flush()
	s.summed = -1
}

func (s *source) flush() {
	if s.summed >= 0 {
		s.sum.Write(s.window[s.summed:s.pos])
		s.summed = s.pos
	}
}

// peek returns at least n bytes without taking them, or what is left.
func (s *source) peek(n int) ([]byte, error) {
	if len(s.window)-s.pos < n && s.at < s.size {
		if err := s.fill(); err != nil {
			return nil, err
		}
	}
	return s.window[s.pos:], nil
}

// fill reads as much as there is room for.
func (s *source) fill() error {
	s.flush()
	kept := copy(s.window[:cap(s.window)], s.window[s.pos:])
	s.pos = 0
	if s.summed >= 0 {
		s.summed = 0
	}
	n := int(min(int64(cap(s.window)-kept), s.size-s.at))
	s.window = s.window[:kept+n]
	if _, err := s.file.ReadAt(s.window[kept:], s.at); err != nil {
		return fmt.Errorf("it cannot be read: %w", err)
	}
	s.at += int64(n)
	return nil
}

// next takes up to n bytes, at least one. They are good until the next call.
func (s *source) next(n int64) ([]byte, error) {
	b, err := s.peek(1)
	if err != nil {
		return nil, err
	}
	if len(b) == 0 {
		return nil, errShort
	}
	b = b[:min(int64(len(b)), n)]
	s.pos += len(b)
	return b, nil
}

func (s *source) byte() (byte, error) {
	if s.pos < len(s.window) {
		s.pos++
		return s.window[s.pos-1], nil
	}
	b, err := s.next(1)
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

// u32 reads an unsigned LEB128 of up to 32 bits.
func (s *source) u32() (v uint32, err error) {
	for shift := 0; ; shift += 7 {
		b, err := s.byte()
		if err != nil {
			return 0, err
		}
		if shift == 28 && b > 0x0f {
			return 0, errLong
		}
		v |= uint32(b&0x7f) << shift
		if b < 0x80 {
			return v, nil
		}
	}
}

// s32 reads a signed LEB128 of up to 32 bits.
func (s *source) s32() (v int32, err error) {
	for shift := 0; ; shift += 7 {
		b, err := s.byte()
		if err != nil {
			return 0, err
		}
		if shift == 28 && b > 0x07 && (b < 0x78 || b > 0x7f) {
			return 0, errLong
		}
		v |= int32(b&0x7f) << shift
		if b < 0x80 {
			if b&0x40 != 0 && shift < 28 {
				v |= -1 << (shift + 7)
			}
			return v, nil
		}
	}
}

// pass takes n bytes to sum them up.
func (s *source) pass(n int64) error {
	for n > 0 {
		b, err := s.next(n)
		if err != nil {
			return err
		}
		n -= int64(len(b))
	}
	return nil
}

// read takes as many bytes as there is room for.
func (s *source) read(to []byte) error {
	for len(to) > 0 {
		b, err := s.next(int64(len(to)))
		if err != nil {
			return err
		}
		to = to[copy(to, b):]
	}
	return nil
}

// skip leaves n bytes out, which need not be read. It must not be called while
// what is taken counts.
func (s *source) skip(n int64) error {
	if n > s.left() {
		return errShort
	}
	here := min(n, int64(len(s.window)-s.pos))
	s.pos += int(here)
	s.at += n - here
	return nil
}
