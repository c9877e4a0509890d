// Package wasmbin reads the outline of a WebAssembly module: what it imports,
// exports and needs, without its code.
//
// wazero decodes modules too, but shows neither imported tables and globals nor
// the size of a memory, and knows what is missing only after compiling, which
// takes seconds for a large module. Format:
// https://www.w3.org/TR/wasm-core-2/#binary-format%E2%91%A0
package wasmbin

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// PageSize is the unit of memory sizes, in bytes.
const PageSize = 64 << 10

// Kind is what an import or export is. The values are those of the format.
type Kind byte

// The kinds of imports and exports.
const (
	KindFunction Kind = iota
	KindTable
	KindMemory
	KindGlobal
	KindTag
)

// String names the kind as in the text format's documentation.
func (k Kind) String() string {
	names := []string{"function", "table", "memory", "global", "tag"}
	if int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("kind %d", byte(k))
}

// FuncType is the signature of a function; the bytes are the format's codes of
// value types. A reference to a type of the module is written as its first byte.
type FuncType struct {
	Params, Results []byte
}

// Equal tells whether two signatures are the same.
func (t FuncType) Equal(u FuncType) bool {
	return bytes.Equal(t.Params, u.Params) && bytes.Equal(t.Results, u.Results)
}

// String writes a signature as "(i32, i64) -> (i32)".
func (t FuncType) String() string {
	return "(" + valueTypes(t.Params) + ") -> (" + valueTypes(t.Results) + ")"
}

func valueTypes(codes []byte) string {
	names := make([]string, len(codes))
	for i, c := range codes {
		switch c {
		case 0x7f:
			names[i] = "i32"
		case 0x7e:
			names[i] = "i64"
		case 0x7d:
			names[i] = "f32"
		case 0x7c:
			names[i] = "f64"
		case 0x7b:
			names[i] = "v128"
		case 0x70:
			names[i] = "funcref"
		case 0x6f:
			names[i] = "externref"
		default:
			names[i] = "ref"
		}
	}
	return strings.Join(names, ", ")
}

// Import is one thing that a module asks for.
type Import struct {
	Module, Name string
	Kind         Kind
	// Type is the signature of an imported function.
	Type FuncType
}

// Export is one thing that a module offers.
type Export struct {
	Name string
	Kind Kind
	// Type is the signature of an exported function.
	Type FuncType
}

// Module is the outline of a module.
type Module struct {
	Imports []Import
	Exports []Export
	// MemoryPages is the size that the module's own memory has at the start.
	MemoryPages uint64
	// Starts tells that there is a start section: a function runs when the module is
	// instantiated.
	Starts bool
	// CodeSize is the size of the code section in bytes.
	CodeSize int
	// TargetFeatures are the features that the module's compiler says it used,
	// by their names in LLVM.
	TargetFeatures []string

	types     []FuncType
	functions []uint32 // type index of each function, imported ones first
	memories  int
}

// UnsupportedError says that a module uses a proposal which wazero lacks.
type UnsupportedError struct {
	// Feature is the proposal by its usual name.
	Feature string
}

func (e *UnsupportedError) Error() string {
	return "it uses " + e.Feature
}

// Sections by their id.
const (
	sectionCustom   = 0
	sectionType     = 1
	sectionImport   = 2
	sectionFunction = 3
	sectionMemory   = 5
	sectionExport   = 7
	sectionStart    = 8
	sectionCode     = 10
	sectionTag      = 13
)

var sectionNames = []string{"custom", "type", "import", "function", "table", "memory", "global",
	"export", "start", "element", "code", "data", "data count", "tag"}

// SectionName names a section by its id.
func SectionName(id byte) string {
	if int(id) < len(sectionNames) {
		return sectionNames[id]
	}
	return fmt.Sprintf("unknown (%d)", id)
}

// header is the magic number and the version of a core module.
var header = []byte("\x00asm\x01\x00\x00\x00")

// Parse reads the outline. The error is an *UnsupportedError if the module needs
// a proposal that wazero does not implement, and a phrase about the damage
// ("it ends in the middle of …") otherwise. Parse does not validate: the engine
// does.
func Parse(data []byte) (*Module, error) {
	if !bytes.HasPrefix(data, header) {
		return nil, errors.New("it does not begin like a WebAssembly module")
	}
	m := &Module{}
	r := &reader{data: data, pos: len(header)}
	for r.remaining() > 0 {
		id, _ := r.byte()
		size, err := r.u32()
		if err != nil {
			return nil, fmt.Errorf("the size of the %s section is not readable: %w", SectionName(id), err)
		}
		body, err := r.bytes(size)
		if err != nil {
			return nil, fmt.Errorf("it ends in the middle of the %s section (%d of %d bytes)", SectionName(id), r.remaining(), size)
		}
		if err := m.section(id, body); err != nil {
			var unsupported *UnsupportedError
			if errors.As(err, &unsupported) {
				return nil, err
			}
			return nil, fmt.Errorf("its %s section is malformed: %w", SectionName(id), err)
		}
	}
	return m, nil
}

func (m *Module) section(id byte, body []byte) error {
	r := &reader{data: body}
	switch id {
	case sectionCustom:
		return m.parseCustom(r)
	case sectionType:
		return m.parseTypes(r)
	case sectionImport:
		return m.parseImports(r)
	case sectionFunction:
		return m.parseFunctions(r)
	case sectionMemory:
		return m.parseMemories(r)
	case sectionExport:
		return m.parseExports(r)
	case sectionStart:
		m.Starts = true
	case sectionCode:
		m.CodeSize = len(body)
	case sectionTag:
		return &UnsupportedError{Feature: "exceptions"}
	}
	return nil
}
