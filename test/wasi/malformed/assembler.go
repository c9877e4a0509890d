package main

import (
	"encoding/binary"
	"slices"
)

// assembler writes a module in the binary format.
type assembler struct {
	types     [][]byte // encoded
	imports   []imported
	functions []defined
}

type imported struct {
	module, name string
	kind         int // of types
	index        int
}

// defined is a function without parameters, and with one local variable.
type defined struct {
	name string
	body []byte
}

// typeOf returns the number of a type with one result or none.
func (a *assembler) typeOf(parameters []byte, result bool) int {
	t := append([]byte{0x60}, list(parameters)...)
	if result {
		t = append(t, 1, 0x7f)
	} else {
		t = append(t, 0)
	}
	if i := slices.IndexFunc(a.types, func(other []byte) bool { return slices.Equal(t, other) }); i >= 0 {
		return i
	}
	a.types = append(a.types, t)
	return len(a.types) - 1
}

// module has a memory of so many pages that begins with data, or none, and a function
// _start that calls the others one after the other.
func (a *assembler) module(pages uint32, data []byte) []byte {
	plain := a.typeOf(nil, false)
	first := len(a.imports)
	start := defined{name: "_start"}
	for i := range a.functions {
		start.body = binary.AppendUvarint(append(start.body, 0x10), uint64(first+i)) // call
	}
	all := append(slices.Clone(a.functions), start)

	m := []byte("\x00asm\x01\x00\x00\x00")
	m = section(m, 1, vector(a.types))
	m = section(m, 2, vector(each(a.imports, func(i imported) []byte {
		return binary.AppendUvarint(append(append(text(i.module), text(i.name)...), 0), uint64(i.kind))
	})))
	m = section(m, 3, vector(each(all, func(defined) []byte { return binary.AppendUvarint(nil, uint64(plain)) })))
	exports := [][]byte{binary.AppendUvarint(append(text("_start"), 0), uint64(first+len(a.functions)))}
	if pages > 0 {
		limits := binary.AppendUvarint([]byte{1}, uint64(pages))
		m = section(m, 5, vector([][]byte{binary.AppendUvarint(limits, uint64(pages))}))
		exports = append(exports, binary.AppendUvarint(append(text("memory"), 2), 0))
	}
	m = section(m, 7, vector(exports))
	m = section(m, 10, vector(each(all, func(f defined) []byte {
		code := append([]byte{1, 1, 0x7f}, f.body...)
		return list(append(code, 0x0b))
	})))
	if pages > 0 {
		m = section(m, 11, vector([][]byte{append([]byte{0, 0x41, 0, 0x0b}, list(data)...)}))
	}
	names := make([][]byte, len(all))
	for i, f := range all {
		names[i] = append(binary.AppendUvarint(nil, uint64(first+i)), text(f.name)...)
	}
	return section(m, 0, append(text("name"), section(nil, 1, vector(names))...))
}

func section(m []byte, id byte, content []byte) []byte {
	return append(append(m, id), list(content)...)
}

// list is the length of b and b.
func list(b []byte) []byte { return append(binary.AppendUvarint(nil, uint64(len(b))), b...) }

func text(s string) []byte { return list([]byte(s)) }

// vector is the number of parts and the parts.
func vector(parts [][]byte) []byte {
	return append(binary.AppendUvarint(nil, uint64(len(parts))), slices.Concat(parts...)...)
}

func each[T any](all []T, encode func(T) []byte) [][]byte {
	parts := make([][]byte, len(all))
	for i, v := range all {
		parts[i] = encode(v)
	}
	return parts
}

// Constants in code.
func constant32(b []byte, v uint32) []byte { return signed(append(b, 0x41), int64(int32(v))) }
func constant64(b []byte, v uint64) []byte { return signed(append(b, 0x42), int64(v)) }

// signed is LEB128 of a signed number.
func signed(b []byte, v int64) []byte {
	for {
		low := byte(v & 0x7f)
		v >>= 7
		if v == 0 && low&0x40 == 0 || v == -1 && low&0x40 != 0 {
			return append(b, low)
		}
		b = append(b, low|0x80)
	}
}
