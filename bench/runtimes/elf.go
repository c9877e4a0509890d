package main

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io"
)

// interpreter is the path of the dynamic loader that an ELF asks for, or "".
func interpreter(data []byte) (string, error) {
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return "", fmt.Errorf("read an ELF: %w", err)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			path, err := io.ReadAll(p.Open())
			return string(bytes.TrimRight(path, "\x00")), err
		}
	}
	return "", nil
}
