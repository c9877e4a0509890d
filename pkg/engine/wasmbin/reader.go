package wasmbin

import (
	"errors"
	"fmt"
	"math"
)

// errTruncated is returned where the bytes end too early.
var errTruncated = errors.New("it ends too early")

// reader walks over bytes that nobody has checked.
type reader struct {
	data []byte
	pos  int
}

func (r *reader) remaining() int { return len(r.data) - r.pos }

func (r *reader) byte() (byte, error) {
	if r.remaining() == 0 {
		return 0, errTruncated
	}
	b := r.data[r.pos]
	r.pos++
	return b, nil
}

func (r *reader) bytes(n uint32) ([]byte, error) {
	if uint64(n) > uint64(r.remaining()) {
		return nil, errTruncated
	}
	b := r.data[r.pos : r.pos+int(n)]
	r.pos += int(n)
	return b, nil
}

// uint reads an unsigned LEB128 of at most the given number of bits.
func (r *reader) uint(bits uint) (uint64, error) {
	var v uint64
	for shift := uint(0); ; shift += 7 {
		b, err := r.byte()
		if err != nil {
			return 0, err
		}
		part := uint64(b & 0x7f)
		if shift >= bits || (bits-shift < 7 && part>>(bits-shift) != 0) {
			return 0, fmt.Errorf("a number is longer than %d bits", bits)
		}
		v |= part << shift
		if b&0x80 == 0 {
			return v, nil
		}
	}
}

func (r *reader) u32() (uint32, error) {
	v, err := r.uint(32)
	return uint32(v), err
}

// skipSigned passes over a signed LEB128 of up to 33 bits.
func (r *reader) skipSigned() error {
	for range 5 {
		b, err := r.byte()
		if err != nil {
			return err
		}
		if b&0x80 == 0 {
			return nil
		}
	}
	return errors.New("a number is longer than 33 bits")
}

// count reads the length of a vector whose elements take at least one byte each,
// so that a length is never larger than what the file can hold.
func (r *reader) count() (int, error) {
	n, err := r.u32()
	if err != nil {
		return 0, err
	}
	if uint64(n) > uint64(r.remaining()) || uint64(n) > math.MaxInt32 {
		return 0, errTruncated
	}
	return int(n), nil
}

func (r *reader) name() (string, error) {
	n, err := r.u32()
	if err != nil {
		return "", err
	}
	b, err := r.bytes(n)
	return string(b), err
}
