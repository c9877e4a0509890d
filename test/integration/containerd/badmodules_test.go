package containerd

import (
	"debug/elf"
	"runtime"
	"slices"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// Sections of a Wasm module by their ids (core specification §5.5.2).
const (
	sectionType     = 1
	sectionImport   = 2
	sectionFunction = 3
	sectionMemory   = 5
	sectionExport   = 7
	sectionCode     = 10
)

// section is short enough for a length of one byte.
func section(id byte, content ...byte) []byte {
	return append([]byte{id, byte(len(content))}, content...)
}

func module(sections ...[]byte) []byte {
	return append([]byte("\x00asm\x01\x00\x00\x00"), slices.Concat(sections...)...)
}

// goodModule exports a function _start that does nothing.
func goodModule() []byte {
	return module(
		section(sectionType, 1, 0x60, 0, 0),
		section(sectionFunction, 1, 0),
		section(sectionExport, append([]byte{1, 6}, "_start\x00\x00"...)...),
		section(sectionCode, 1, 2, 0, 0x0b),
	)
}

// importingModule needs the function "acme"."pay".
func importingModule() []byte {
	return module(
		section(sectionType, 1, 0x60, 0, 0),
		section(sectionImport, append([]byte{1}, "\x04acme\x03pay\x00\x00"...)...),
		section(sectionFunction, 1, 0),
		section(sectionExport, append([]byte{1, 6}, "_start\x00\x01"...)...),
		section(sectionCode, 1, 2, 0, 0x0b),
	)
}

// memory64Module has a memory with 64-bit addresses.
func memory64Module() []byte {
	good := goodModule()
	const beforeExports = 8 + 6 + 4
	return slices.Concat(good[:beforeExports], section(sectionMemory, 1, 4, 1), good[beforeExports:])
}

// corruptedModule has a body with an instruction that does not exist.
func corruptedModule() []byte {
	m := goodModule()
	m[len(m)-1] = 0xff
	return m
}

// foreignProgram is the begin of an ELF file for another architecture, and that
// architecture's name.
func foreignProgram() ([]byte, string) {
	machine, name := elf.EM_S390, "s390x"
	if runtime.GOARCH == name {
		machine, name = elf.EM_X86_64, "amd64"
	}
	header := make([]byte, 64)
	copy(header, "\x7fELF\x02\x02\x01")
	if name == "amd64" {
		header[elf.EI_DATA] = byte(elf.ELFDATA2LSB)
		header[18] = byte(machine)
	} else {
		header[19] = byte(machine)
	}
	return header, name
}

// badImage has one file for each way in which a program can be wrong.
func badImage() testenv.Image {
	foreign, _ := foreignProgram()
	good := goodModule()
	return testenv.Image{
		Name: "test.local/bad:1",
		Files: map[string]testenv.File{
			"/good.wasm":      {Data: good},
			"/empty.wasm":     {},
			"/text.wasm":      {Data: []byte("This is what some registry answered.\n")},
			"/wat.wasm":       {Data: []byte("(module (func (export \"_start\")))\n")},
			"/head.wasm":      {Data: good[:6]},
			"/cut.wasm":       {Data: good[:len(good)-3]},
			"/corrupted.wasm": {Data: corruptedModule()},
			"/component.wasm": {Data: []byte("\x00asm\x0d\x00\x01\x00\x00\x00")},
			"/import.wasm":    {Data: importingModule()},
			"/memory64.wasm":  {Data: memory64Module()},
			"/foreign":        {Data: foreign},
			"/private.wasm":   {Data: good, Mode: 0o600},
			"/locked/in.wasm": {Data: good},
			"/locked":         {Dir: true, Mode: 0o700},
			"/escape.wasm":    {Link: "../../../../../../../../etc/hostname"},
			"/loop.wasm":      {Link: "loop.wasm"},
			"/dangling.wasm":  {Link: "/nowhere.wasm"},
		},
	}
}
