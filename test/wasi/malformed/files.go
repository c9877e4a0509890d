package main

import (
	"slices"
)

// manyFiles is a guest that opens a file again and again, until it has so many or
// there are no more, and closes them: all that it gets besides 0 is EMFILE or ENFILE.
func manyFiles(n uint32) []byte {
	const (
		emfile, enfile = 33, 41
		path, counter  = 64, 16
		first          = 6 // after stdio and three directories
		reading        = 1 << 1
	)
	index := func(name string) int {
		return slices.IndexFunc(functions, func(c called) bool { return c.name == name })
	}
	var a assembler
	for i, name := range []string{"path_open", "fd_close"} {
		a.imports = append(a.imports, imported{hostModule, name, a.typeOf(functions[index(name)].types(), true), i})
	}
	load := func(b []byte) []byte { return append(constant32(b, counter), 0x28, 2, 0) } // i32.load
	// add stores the counter and a difference in it, and leaves the sum in the local
	// variable.
	add := func(b []byte, difference int32) []byte {
		b = constant32(load(constant32(b, counter)), uint32(difference))
		return append(b, 0x6a, 0x22, 0, 0x36, 2, 0) // i32.add local.tee i32.store
	}
	b := []byte{0x03, 0x40} // loop
	b = constant32(constant32(b, 3), 0)
	b = constant32(constant32(b, path), 1)
	b = constant32(b, 0)
	b = constant64(constant64(b, reading), 0)
	b = constant32(constant32(b, 0), 8)
	b = append(b, 0x10, 0, 0x22, 0, 0x04, 0x40) // call local.tee if
	b = append(constant32(append(b, 0x20, 0), emfile), 0x47)
	b = append(constant32(append(b, 0x20, 0), enfile), 0x47)
	b = append(b, 0x71, 0x04, 0x40, 0x00, 0x0b, 0x05) // i32.and if unreachable end else
	b = append(add(b, 1), 0x20, 0)
	b = append(constant32(b, n), 0x49, 0x0d, 1, 0x0b, 0x0b) // i32.lt_u br_if end end
	b = append(b, 0x02, 0x40, 0x03, 0x40)                   // block loop
	b = append(load(b), 0x45, 0x0d, 1)                      // i32.eqz br_if
	b = append(constant32(add(b, -1), first), 0x20, 0, 0x6a)
	b = append(b, 0x10, 1, 0x04, 0x40, 0x00, 0x0b, 0x0c, 0, 0x0b, 0x0b) // call if unreachable end br end end
	a.functions = []defined{{"many files", b}}
	data := make([]byte, path+1)
	data[path] = 'f'
	return a.module(1, data)
}
