package preview1

import (
	"encoding/binary"
	"math"
	"reflect"

	"github.com/tetratelabs/wazero/api"
)

// memory is a guest's, as a function sees it: what it reads and writes is checked
// against its size, and never beyond. A slice of it is valid until the function
// returns.
type memory struct {
	api.Memory
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

func (m memory) put32(at, v uint32) Errno {
	if !m.WriteUint32Le(at, v) {
		return EFAULT
	}
	return ESUCCESS
}

func (m memory) put64(at uint32, v uint64) Errno {
	if !m.WriteUint64Le(at, v) {
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
	for i, s := range list {
		to, ok := m.bytes(data, uint32(len(s))+1)
		if !ok {
			return EFAULT
		}
		binary.LittleEndian.PutUint32(table[4*i:], data)
		to[copy(to, s)] = 0
		data += uint32(len(s)) + 1
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
