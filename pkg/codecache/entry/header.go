package entry

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
)

// Format is the version of the layout.
const Format = 1

const (
	magic      = "wazerocc"
	headerSize = 256
	engineSize = 64
	// summed is the part of the header that its sum covers.
	summed = headerSize - sha256.Size
)

// MaxSize bounds an entry in bytes. wazero's code reaches its own functions by
// displacements of 32 bits at most.
const MaxSize = 4 << 30

// What ReadHeader and Verify complain about, for errors.Is. An error that is none
// of them is one of reading.
var (
	// ErrDamaged is something that Create did not write, or not like this.
	ErrDamaged = errors.New("damaged cache entry")
	// ErrOtherFormat is an entry of an older or newer shim.
	ErrOtherFormat = errors.New("cache entry of another format")
	// ErrOtherModule is an intact entry for another module.
	ErrOtherModule = errors.New("cache entry of another module")
	// ErrOtherEngine is an intact entry for another engine.
	ErrOtherEngine = errors.New("cache entry of another engine")
)

// Header says what an entry holds. Create sets CodeOffset and Sum.
type Header struct {
	// Module and ModuleSize (in bytes) are those of the Wasm file.
	Module     Digest
	ModuleSize int64
	// Engine is what the code needs besides.
	Engine Engine
	// EngineKey is what package engine derived from the bytes that were compiled.
	// A runner derives it again from those that it has read: if the keys are
	// equal, the code belongs to these bytes, however they got there.
	EngineKey [32]byte
	// Sizes of the parts in bytes, and where the code begins in the file.
	PrefixSize, CodeSize, SuffixSize, CodeOffset int64
	// Sum is the sha256 of everything after the header.
	Sum Digest
}

// PrefixOffset is where the prefix begins in the file.
func (h *Header) PrefixOffset() int64 { return headerSize }

// SuffixOffset is where the suffix begins in the file.
func (h *Header) SuffixOffset() int64 { return h.CodeOffset + h.CodeSize }

// Size of the whole entry in bytes.
func (h *Header) Size() int64 { return h.CodeOffset + h.CodeSize + h.SuffixSize }

// ReadHeader reads a header and checks it as far as it can be checked without
// the rest: the sizes fit together, but need not fit the file (see Verify).
func ReadHeader(r io.ReaderAt) (*Header, error) {
	var b [headerSize]byte
	n, err := r.ReadAt(b[:], 0)
	if n < len(b) {
		if err == nil || errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%w: it ends after %d bytes", ErrDamaged, n)
		}
		return nil, fmt.Errorf("read cache entry: %w", err)
	}
	return decode(&b)
}

func decode(b *[headerSize]byte) (*Header, error) {
	if string(b[:8]) != magic {
		return nil, fmt.Errorf("%w: it does not begin like one", ErrDamaged)
	}
	if sum := sha256.Sum256(b[:summed]); !bytes.Equal(sum[:], b[summed:]) {
		return nil, fmt.Errorf("%w: the sum of its header is wrong", ErrDamaged)
	}
	if format := binary.LittleEndian.Uint32(b[8:]); format != Format {
		return nil, fmt.Errorf("%w: %d instead of %d", ErrOtherFormat, format, Format)
	}
	engine, rest, _ := bytes.Cut(b[128:128+engineSize], []byte{0})
	h := &Header{
		Module: Digest(b[16:48]), EngineKey: [32]byte(b[48:80]), Engine: Engine(engine), Sum: Digest(b[192:224]),
	}
	sizes := []*int64{&h.PrefixSize, &h.CodeSize, &h.SuffixSize, &h.CodeOffset, &h.ModuleSize}
	for i, size := range sizes {
		*size = int64(binary.LittleEndian.Uint64(b[80+8*i:]))
	}
	reserved := binary.LittleEndian.Uint32(b[12:]) != 0 || binary.LittleEndian.Uint64(b[120:]) != 0
	if reserved || len(bytes.Trim(rest, "\x00")) > 0 {
		return nil, fmt.Errorf("%w: reserved fields are in use", ErrDamaged)
	}
	if err := h.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if h.CodeOffset != codeOffset(h.PrefixSize) {
		return nil, fmt.Errorf("%w: its code is at offset %d", ErrDamaged, h.CodeOffset)
	}
	return h, nil
}

// check refuses what cannot be the header of an entry. After it no sum of sizes
// overflows.
func (h *Header) check() error {
	for _, size := range []int64{h.PrefixSize, h.CodeSize, h.SuffixSize} {
		if size < 0 || size > MaxSize {
			return fmt.Errorf("a part of %d bytes", size)
		}
	}
	if size := codeOffset(h.PrefixSize) + h.CodeSize + h.SuffixSize; size > MaxSize {
		return fmt.Errorf("an entry of %d bytes, more than the limit of %d", size, int64(MaxSize))
	}
	if h.ModuleSize < 0 {
		return fmt.Errorf("a module of %d bytes", h.ModuleSize)
	}
	return h.Engine.check()
}

// encode is the inverse of decode for a header that passes check.
func (h *Header) encode() *[headerSize]byte {
	var b [headerSize]byte
	copy(b[:8], magic)
	binary.LittleEndian.PutUint32(b[8:], Format)
	copy(b[16:48], h.Module[:])
	copy(b[48:80], h.EngineKey[:])
	for i, size := range []int64{h.PrefixSize, h.CodeSize, h.SuffixSize, h.CodeOffset, h.ModuleSize} {
		binary.LittleEndian.PutUint64(b[80+8*i:], uint64(size))
	}
	copy(b[128:128+engineSize], h.Engine)
	copy(b[192:224], h.Sum[:])
	sum := sha256.Sum256(b[:summed])
	copy(b[summed:], sum[:])
	return &b
}

// codeOffset is the first page after the prefix. amd64 has one page size; other
// architectures, arm64 above all, have kernels with pages of up to 64 KiB.
func codeOffset(prefixSize int64) int64 {
	page := int64(64 << 10)
	if runtime.GOARCH == "amd64" {
		page = 4 << 10
	}
	return (headerSize + prefixSize + page - 1) / page * page
}
