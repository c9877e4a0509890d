package linmem

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Image is the content of a memory at the start, made before there is an instance
// that has the memory: what is read of a module goes right to its place.
type Image struct {
	region []byte
	size   uint64
	filled int64
	parts  []part // that have been filled
}

// NewImage reserves limit bytes of address space, of which the first size bytes
// are zero and can be written to.
func NewImage(size, limit uint64) (*Image, error) {
	region, err := reserve(limit)
	if err != nil {
		return nil, fmt.Errorf("reserve %d bytes of address space: %w", limit, err)
	}
	if err := unix.Mprotect(region[:size], unix.PROT_READ|unix.PROT_WRITE); err != nil {
		_ = unix.Munmap(region)
		return nil, fmt.Errorf("allocate %d bytes: %w", size, err)
	}
	return &Image{region: region, size: size}, nil
}

// At returns the n bytes at an offset, to be filled, or false if they are not all
// inside.
func (i *Image) At(offset, n uint32) ([]byte, bool) {
	end := uint64(offset) + uint64(n)
	if end > i.size {
		return nil, false
	}
	i.filled += int64(n)
	i.parts = joined(i.parts, part{uint64(offset), end})
	return i.region[offset:end:end], true
}

// Filled is the number of bytes that have been asked for.
func (i *Image) Filled() int64 { return i.filled }

// Free gives the memory back. It must not be called after Use.
func (i *Image) Free() {
	if i.region != nil {
		_ = unix.Munmap(i.region)
		i.region = nil
	}
}
