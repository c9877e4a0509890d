package engine

import (
	"encoding/binary"
	"errors"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/engine/linmem"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/engine/wasmbin"
)

// errData is data that cannot be put into memory before there is an instance, or
// must not: it is malformed, passive, at an offset that is computed, or outside
// of the memory. wazero deals with it.
var errData = errors.New("its data has to be left to wazero")

// makeImage prepares the memory that a memory section declares, if there is one
// and it is usual. Without an image wazero does everything.
func (m *Module) makeImage(section []byte) {
	const hasMaximum, shared = 1, 2
	const mostPages = 1 << 16
	if m.image != nil { // a second one; wazero refuses that
		m.Free()
		m.image, m.inSkeleton = nil, true
	}
	if m.inSkeleton || len(section) < 3 || section[0] != 1 || section[1] > hasMaximum|shared {
		return
	}
	least, n := binary.Uvarint(section[2:])
	most := uint64(mostPages)
	if n > 0 && section[1]&hasMaximum != 0 {
		most, _ = binary.Uvarint(section[2+n:])
	}
	if n <= 0 || least == 0 || least > most || most > mostPages {
		return
	}
	// Without address space for it, the guest could not run either; wazero says so.
	m.image, _ = linmem.NewImage(least*wasmbin.PageSize, most*wasmbin.PageSize)
}

// fillImage reads a data section, and leaves it out of the skeleton.
func (m *Module) fillImage(s *source, size int64) error {
	end := s.offset() + size
	count, err := s.u32()
	if err != nil {
		return err
	}
	for range count {
		if err := m.fillSegment(s, end); err != nil {
			return err
		}
	}
	if s.offset() != end {
		return errData
	}
	return nil
}

func (m *Module) fillSegment(s *source, end int64) error {
	const active, activeInMemory = 0, 2
	const i32Const, endOfExpression = 0x41, 0x0b
	kind, err := s.u32()
	if err == nil && kind == activeInMemory {
		kind, err = s.u32() // the index of the memory, of which there is one
	}
	if err != nil || kind != active {
		return errData
	}
	if op, err := s.byte(); err != nil || op != i32Const {
		return errData
	}
	offset, err := s.s32()
	if err != nil {
		return errData
	}
	if op, err := s.byte(); err != nil || op != endOfExpression {
		return errData
	}
	size, err := s.u32()
	if err != nil || int64(size) > end-s.offset() {
		return errData
	}
	place, ok := m.image.At(uint32(offset), size)
	if !ok {
		return errData
	}
	return s.read(place)
}
