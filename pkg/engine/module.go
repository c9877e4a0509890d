package engine

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/engine/linmem"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/engine/wasmbin"
)

// Module is what a runner needs of a module whose code has been compiled.
//
// Its functions are read once, to know that they are the ones that were compiled,
// and neither kept nor decoded: wazero would decode and validate them again, which
// took two thirds of the time to load a module. There is nothing to gain from it:
// code is bound to the bytes that it was compiled from by the key, and the
// compiler refuses invalid ones. Data goes right to where the guest finds it;
// wazero would keep a copy of it on Go's heap.
type Module struct {
	// Key is a sha256 of everything that matters for running the module: all
	// but its custom sections, of which only the one with names counts.
	Key [32]byte

	name string
	// skeleton is the module in its binary format, with functions that do
	// nothing but trap, and without custom sections other than names.
	skeleton []byte
	outline  *wasmbin.Module // nil until somebody asks
	// functions is the number of them.
	functions int
	// image is the memory with the module's data, if the skeleton has none.
	image *linmem.Image
	// inSkeleton tells that the data has to be in the skeleton.
	inSkeleton bool
}

// Sections that are treated in another way than the rest, by their id.
const (
	customSection    = 0
	memorySection    = 5
	codeSection      = 10
	dataSection      = 11
	dataCountSection = 12
)

// keyContext begins what is summed up for a key: it tells keys from other sums
// of the same bytes, and needs another number if keys are made differently.
const keyContext = "containerd-shim-wazero module key 1\n"

// ReadModule reads a module, name in messages, without its functions. Errors are
// sentences about the module.
func ReadModule(file *os.File, name string) (*Module, error) {
	size, err := fileSize(file, name)
	if err != nil {
		return nil, err
	}
	m, err := readModule(file, size, name, false)
	if errors.Is(err, errData) {
		m, err = readModule(file, size, name, true)
	}
	return m, err
}

// readModule with dataInSkeleton leaves all data to wazero; without, the error
// may be errData.
func readModule(file io.ReaderAt, size int64, name string, dataInSkeleton bool) (*Module, error) {
	m := &Module{name: name, inSkeleton: dataInSkeleton}
	sum := sha256.New()
	sum.Write([]byte(keyContext))
	s := newSource(file, size, sum)
	defer s.free()
	if err := m.read(s); err != nil {
		m.Free()
		return nil, fmt.Errorf("module %q is damaged: %w", name, err)
	}
	sum.Sum(m.Key[:0])
	return m, nil
}

// Image is the guest's memory if it has got its data already, else nil.
func (m *Module) Image() *linmem.Image { return m.image }

// Free gives back a module that is not going to run.
func (m *Module) Free() {
	if m.image != nil {
		m.image.Free()
	}
}

// Outline is what the module imports, exports and needs. Errors are sentences
// about the module.
func (m *Module) Outline() (_ *wasmbin.Module, err error) {
	if m.outline == nil {
		m.outline, err = ParseOutline(m.skeleton, m.name)
	}
	return m.outline, err
}

// ParseOutline reads what a module, name in messages, imports, exports and needs.
// Errors are sentences about the module.
func ParseOutline(module []byte, name string) (*wasmbin.Module, error) {
	outline, err := wasmbin.Parse(module)
	if err != nil {
		return nil, explainParseError(name, err)
	}
	return outline, nil
}

// magic is the magic number and the version of a core module.
const magic = "\x00asm\x01\x00\x00\x00"

func (m *Module) read(s *source) error {
	if head, err := s.peek(len(magic)); err != nil {
		return err
	} else if !bytes.HasPrefix(head, []byte(magic)) {
		return errors.New("it does not begin like a WebAssembly module")
	}
	if err := s.skip(int64(len(magic))); err != nil {
		return err
	}
	m.skeleton = []byte(magic)
	for s.left() > 0 {
		id, err := s.byte()
		if err != nil {
			return err
		}
		size, err := s.u32()
		if err != nil {
			return fmt.Errorf("the size of the %s section is not readable: %w", wasmbin.SectionName(id), err)
		}
		if left := s.left(); int64(size) > left {
			return fmt.Errorf("it ends in the middle of the %s section (%d of %d bytes)", wasmbin.SectionName(id), left, size)
		}
		if err := m.section(s, id, int64(size)); err != nil {
			return fmt.Errorf("its %s section is malformed: %w", wasmbin.SectionName(id), err)
		}
	}
	return nil
}

// section reads the content of one section.
func (m *Module) section(s *source, id byte, size int64) error {
	if id == customSection {
		if names, err := isNames(s, size); err != nil {
			return err
		} else if !names {
			return s.skip(size)
		}
	}
	var head [9]byte
	head[0] = id
	binary.LittleEndian.PutUint64(head[1:], uint64(size))
	s.sum.Write(head[:])
	s.startSum()
	defer s.stopSum()
	switch {
	case id == codeSection:
		return m.functionBodies(s, size)
	case id == dataSection && m.image != nil:
		return m.fillImage(s, size)
	}
	m.skeleton = slices.Grow(m.skeleton, int(size)+binary.MaxVarintLen32+1)
	m.skeleton = binary.AppendUvarint(append(m.skeleton, id), uint64(size))
	content := m.skeleton[len(m.skeleton) : len(m.skeleton)+int(size)]
	if err := s.read(content); err != nil {
		return err
	}
	m.skeleton = m.skeleton[:len(m.skeleton)+int(size)]
	switch id {
	case memorySection:
		m.makeImage(content)
	case dataCountSection:
		// Then functions may use the data, by its place in the section.
		m.Free()
		m.image = nil
	}
	return nil
}

// isNames tells whether a custom section holds the names of functions, which
// traps show. The section's content comes next in s, and does so afterwards.
func isNames(s *source, size int64) (bool, error) {
	const longest = binary.MaxVarintLen32 + len("name")
	b, err := s.peek(longest)
	if err != nil {
		return false, err
	}
	b = b[:min(int64(len(b)), size, int64(longest))]
	length, n := binary.Uvarint(b)
	return n > 0 && length == uint64(len("name")) && bytes.HasPrefix(b[n:], []byte("name")), nil
}

// trap is a function body without local variables: unreachable, end. It fits a
// function of any type.
const trap = "\x03\x00\x00\x0b"

// functionBodies reads a code section and appends one of equally many traps.
func (m *Module) functionBodies(s *source, size int64) error {
	end := s.offset() + size
	count, err := s.u32()
	if err != nil {
		return err
	}
	if int64(count) > size { // each takes a byte at least
		return errShort
	}
	for range count {
		body, err := s.u32()
		if err != nil {
			return err
		}
		if int64(body) > end-s.offset() {
			return errShort
		}
		if err := s.pass(int64(body)); err != nil {
			return err
		}
	}
	if s.offset() != end {
		return errors.New("its functions have another size than the section")
	}
	m.functions = int(count)
	content := binary.AppendUvarint(nil, uint64(count))
	content = append(content, bytes.Repeat([]byte(trap), m.functions)...)
	m.skeleton = binary.AppendUvarint(append(m.skeleton, codeSection), uint64(len(content)))
	m.skeleton = append(m.skeleton, content...)
	return nil
}
