package engine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
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
	suffixSize  = 4 + 1 + 4
)

// Code is the result of compiling a module: what wazero wrote, in three parts.
type Code struct {
	// Key stands for the module's content, see Module.
	Key [32]byte
	// Prefix is what stands before the machine code, Suffix what comes after it.
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
	return &Code{Prefix: data[:l.size], Code: rest[:l.codeSize], Suffix: rest[l.codeSize:]}, nil
}

// check tells whether the parts fit together, and to a module with this number of
// functions.
func (c *Code) check(functions int) error {
	l, err := parsePrefix(c.Prefix)
	if err != nil {
		return err
	}
	if err := l.check(functions, int64(len(c.Code))); err != nil {
		return err
	}
	return checkSuffix(c.Suffix)
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

// check makes sure that all functions begin inside the code, each behind the one
// before: wazero trusts the offsets.
func (l layout) check(functions int, codeSize int64) error {
	if len(l.offsets) != functions*8 {
		return fmt.Errorf("it has code for %d functions, the module has %d", len(l.offsets)/8, functions)
	}
	if l.codeSize != uint64(codeSize) {
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

// checkSuffix makes sure that there is a checksum, and neither a source map nor a
// catch clause.
func checkSuffix(suffix []byte) error {
	if len(suffix) != suffixSize || !bytes.Equal(suffix[4:], make([]byte, suffixSize-4)) {
		return errors.New("its end is malformed")
	}
	return nil
}
