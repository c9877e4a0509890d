package engine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
)

// What wazero writes for a module, in its own words "serialized":
//
//	magic, length of the version (1 byte), version
//	number of functions (4 bytes), offset of each in the code (8 bytes)
//	size of the code (8 bytes)
//	the code
//	CRC-32C of the code (4 bytes)
//	1 if a source map follows (1 byte), source map
//	number of try blocks (4 bytes), their catch clauses
//
// Numbers are little endian. Without debug information and exceptions, both of
// which are off, nothing follows the two zeros at the end.
const (
	wazeroMagic = "WAZEVO"
	// tailSize is the size of what comes after the code.
	tailSize = 4 + 1 + 4
	// suffixSize has a CRC-32C of the prefix in addition, which is ours: wazero's
	// covers the code only, and an offset with a wrong bit leads anywhere.
	suffixSize = tailSize + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Code is the result of compiling a module: what wazero wrote, in three parts.
type Code struct {
	// Key stands for the module's content, see Module.
	Key [32]byte
	// Prefix is what stands before the machine code, Suffix what comes after it,
	// and a checksum of Prefix.
	Prefix, Code, Suffix []byte
}

// split cuts what wazero wrote into its parts.
func split(data []byte) (*Code, error) {
	l, err := parsePrefix(data)
	if err != nil {
		return nil, err
	}
	rest := data[l.size:]
	if l.codeSize > uint64(len(rest)) {
		return nil, errors.New("the code ends early")
	}
	c := &Code{Prefix: data[:l.size], Code: rest[:l.codeSize]}
	tail := rest[l.codeSize:]
	c.Suffix = binary.LittleEndian.AppendUint32(slices.Clip(tail), crc32.Checksum(c.Prefix, castagnoli))
	return c, nil
}

// layout is what a prefix says.
type layout struct {
	version  string
	size     int    // of the prefix itself, in bytes
	offsets  []byte // 8 bytes for each function
	codeSize uint64
}

// parsePrefix reads a prefix, after which more may follow.
func parsePrefix(data []byte) (l layout, err error) {
	if !bytes.HasPrefix(data, []byte(wazeroMagic)) {
		return l, errors.New("it does not begin like code of wazero")
	}
	rest := data[len(wazeroMagic):]
	if len(rest) < 1 || len(rest) < 1+int(rest[0])+4 {
		return l, errors.New("its prefix ends early")
	}
	l.version, rest = string(rest[1:1+rest[0]]), rest[1+rest[0]:]
	functions := uint64(binary.LittleEndian.Uint32(rest))
	rest = rest[4:]
	if uint64(len(rest)) < functions*8+8 {
		return l, errors.New("its prefix ends early")
	}
	l.offsets, rest = rest[:functions*8], rest[functions*8:]
	l.codeSize = binary.LittleEndian.Uint64(rest)
	l.size = len(data) - len(rest) + 8
	return l, nil
}

// checkParts makes sure that what wazero trusts is as wazero writes it for a
// module with this number of functions, apart from the code itself, of which only
// the size is asked for: wazero looks at its checksum.
func checkParts(prefix, suffix []byte, codeSize int64, functions int) error {
	if len(suffix) != suffixSize || !bytes.Equal(suffix[4:tailSize], make([]byte, tailSize-4)) {
		return errors.New("its end is malformed")
	}
	if binary.LittleEndian.Uint32(suffix[tailSize:]) != crc32.Checksum(prefix, castagnoli) {
		return errors.New("the checksum of its prefix is wrong")
	}
	l, err := parsePrefix(prefix)
	switch {
	case err != nil:
		return err
	case l.size != len(prefix):
		return errors.New("its prefix has another size")
	case len(l.offsets) != functions*8:
		return fmt.Errorf("it has code for %d functions, the module has %d", len(l.offsets)/8, functions)
	case l.codeSize != uint64(codeSize):
		return fmt.Errorf("it has %d bytes of code where %d are announced", codeSize, l.codeSize)
	}
	var least uint64
	for b := l.offsets; len(b) > 0; b = b[8:] {
		offset := binary.LittleEndian.Uint64(b)
		if offset < least || offset >= l.codeSize {
			return errors.New("its functions are not where they can be")
		}
		least = offset + 1
	}
	return nil
}
