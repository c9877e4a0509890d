package preview1

import (
	"encoding/binary"
	"math"
	"reflect"
	"unsafe"

	"github.com/tetratelabs/wazero/api"
)

// memory is a guest's, as a function sees it: what it reads and writes is checked
// against its size, and never beyond. A slice of it is valid until the function
// returns.
type memory struct {
	// Memory is not embedded: of its methods, those that read have a fault, see Read.
	Memory api.Memory
	// unstable lets attributes of files have the older layout.
	unstable bool
}

// memoryOf is a guest's memory, also of one that has none: for that wazero returns a nil
// pointer within the interface.
func memoryOf(guest api.Module) api.Memory {
	m := guest.Memory()
	if reflect.ValueOf(m).IsNil() {
		return noMemory{}
	}
	return m
}

// noMemory is where nothing is, as far as functions look.
type noMemory struct{ api.Memory }

func (noMemory) Read(uint32, uint32) ([]byte, bool) { return nil, false }
func (noMemory) WriteUint16Le(uint32, uint16) bool  { return false }
func (noMemory) WriteUint32Le(uint32, uint32) bool  { return false }
func (noMemory) WriteUint64Le(uint32, uint64) bool  { return false }

// Read is a part of the memory, also the last one of a memory that is as large as
// addresses reach: its end is checked in 64 bits by the engine, which then cuts it out in
// 32, where the end is 0, and panics.
func (m memory) Read(at, size uint32) (part []byte, ok bool) {
	if uint64(at)+uint64(size) <= math.MaxUint32 {
		return m.Memory.Read(at, size)
	}
	if at != -size { // it goes beyond
		return nil, false
	}
	// What begins and ends one byte before, and one byte more.
	before, ok := m.Memory.Read(at-1, size)
	if !ok {
		return nil, false
	}
	if _, ok := m.Memory.ReadByte(math.MaxUint32); !ok {
		return nil, false
	}
	return unsafe.Slice(unsafe.SliceData(before), uint64(size)+1)[1:], true
}

// bytes is a part of the memory; ok is false if it is not all there. No bytes are
// there wherever they are said to be.
func (m memory) bytes(at, size uint32) (part []byte, ok bool) {
	if size == 0 {
		return nil, true
	}
	return m.Read(at, size)
}

// table is a part of the memory: count entries of size bytes each.
func (m memory) table(at, count, size uint32) (part []byte, ok bool) {
	total := uint64(count) * uint64(size)
	if total > math.MaxUint32 {
		return nil, false
	}
	return m.bytes(at, uint32(total))
}

func (m memory) put16(at uint32, v uint16) Errno {
	if !m.Memory.WriteUint16Le(at, v) {
		return EFAULT
	}
	return ESUCCESS
}

func (m memory) put32(at, v uint32) Errno {
	if !m.Memory.WriteUint32Le(at, v) {
		return EFAULT
	}
	return ESUCCESS
}

func (m memory) put64(at uint32, v uint64) Errno {
	if !m.Memory.WriteUint64Le(at, v) {
		return EFAULT
	}
	return ESUCCESS
}

// path is a path in the memory.
func (m memory) path(at, size uint32) (string, Errno) {
	if size > pathMax {
		return "", ENAMETOOLONG
	}
	data, ok := m.bytes(at, size)
	if !ok {
		return "", EFAULT
	}
	for _, c := range data {
		if c == 0 { // the system call would see a shorter path
			return "", EILSEQ
		}
	}
	return string(data), ESUCCESS
}

// pathMax bounds paths in bytes, as PATH_MAX of Linux without the final zero.
const pathMax = 4095

// vectors are the buffers that an array of iovecs names, empty ones left out. They
// may overlap. No more than maxVectors are taken, which readers and writers are
// told by how much was done, as by writev(2).
func (m memory) vectors(at, count uint32, into [][]byte) ([][]byte, Errno) {
	const size = 8 // pointer, length
	array, ok := m.table(at, count, size)
	if !ok {
		return nil, EFAULT
	}
	for ; len(array) > 0 && len(into) < maxVectors; array = array[size:] {
		n := binary.LittleEndian.Uint32(array[4:])
		if n == 0 {
			continue
		}
		buffer, ok := m.Read(binary.LittleEndian.Uint32(array), n)
		if !ok {
			return nil, EFAULT
		}
		into = append(into, buffer)
	}
	return into, ESUCCESS
}

// maxVectors is IOV_MAX of Linux.
const maxVectors = 1024

// list writes strings as C has them: their addresses to pointers, themselves with
// a final zero to data.
func (m memory) list(pointers, data uint32, list []string) Errno {
	table, ok := m.table(pointers, uint32(len(list)), 4)
	if !ok {
		return EFAULT
	}
	next := uint64(data) // which does not begin again at 0 after the last address
	for i, s := range list {
		if next > math.MaxUint32 {
			return EFAULT
		}
		to, ok := m.bytes(uint32(next), uint32(len(s))+1)
		if !ok {
			return EFAULT
		}
		binary.LittleEndian.PutUint32(table[4*i:], uint32(next))
		to[copy(to, s)] = 0
		next += uint64(len(to))
	}
	return ESUCCESS
}

// sizes writes what list needs: the number of strings and all their bytes.
func (m memory) sizes(count, size uint32, list []string) Errno {
	var total uint32
	for _, s := range list {
		total += uint32(len(s)) + 1
	}
	if e := m.put32(count, uint32(len(list))); e != ESUCCESS {
		return e
	}
	return m.put32(size, total)
}
