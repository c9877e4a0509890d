package oci

import (
	"debug/elf"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// elfHeader is the begin of a little-endian ELF file.
func elfHeader(machine elf.Machine) string {
	h := make([]byte, 64)
	copy(h, "\x7fELF\x02\x01\x01")
	h[16], h[18], h[19] = 2, byte(machine), byte(machine>>8)
	return string(h)
}

// nativeELF runs here, foreignELF on no machine that Go knows.
func nativeELF() string { return elfHeader(machinesOf(runtime.GOARCH)[0]) }

func TestFormatIsToldByContent(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]format{
		"":                             formatEmpty,
		wasmModule:                     formatWasm,
		wasmModule + "rest":            formatWasm,
		wasmComponent:                  formatComponent,
		"\x00asm\x02\x00\x00\x00":      formatWasmVersion,
		"\x00asm\x01\x00\x01\x00":      formatWasmVersion,
		"\x00asm\x01\x00\x00":          formatTruncated,
		"\x00asm":                      formatTruncated,
		"\x00as":                       formatTruncated,
		"\x00":                         formatTruncated,
		"\x7fEL":                       formatTruncated,
		"\x7fELF\x02\x01\x01":          formatTruncated,
		nativeELF():                    formatELF,
		"#!/bin/sh":                    formatScript,
		"#!":                           formatScript,
		"#":                            formatText,
		"hello world, this is text":    formatText,
		"grüße, wörter und wohlklang":  formatText,
		"(module)":                     formatWasmText,
		"  \n(module (func))":          formatWasmText,
		"(component)":                  formatWasmText,
		";; comment":                   formatWasmText,
		strings.Repeat("\x00", 64):     formatUnknown,
		"\x1f\x8b\x08\x00\x00\x00\x00": formatUnknown,
		"MZ\x90\x00\x03\x00\x00\x00":   formatUnknown,
	} {
		h, err := readHead(strings.NewReader(content))
		if err != nil || h.format != want {
			t.Errorf("%q: format %d %v, want %d", content, h.format, err, want)
		}
	}
}

func TestELFOfAnotherArchitectureNamesBoth(t *testing.T) {
	t.Parallel()
	none := t.TempDir()
	foreign := elf.EM_AARCH64
	if strings.HasPrefix(runtime.GOARCH, "arm") {
		foreign = elf.EM_X86_64
	}
	h, err := readHead(strings.NewReader(elfHeader(foreign)))
	check(t, err)
	fault := h.foreign(none)
	if !strings.Contains(fault, archName(foreign)) || !strings.Contains(fault, runtime.GOARCH) {
		t.Error(fault)
	}
	h, err = readHead(strings.NewReader(nativeELF()))
	check(t, err)
	if fault := h.foreign(none); fault != "" {
		t.Error(fault)
	}
}

func TestELFByteOrderIsMinded(t *testing.T) {
	t.Parallel()
	h := []byte(elfHeader(0))
	h[elf.EI_DATA] = byte(elf.ELFDATA2MSB)
	h[18], h[19] = 0, byte(elf.EM_S390)
	if m := elfMachine(h); m != elf.EM_S390 {
		t.Error(m)
	}
}

func TestEmulatorMakesForeignProgramsNative(t *testing.T) {
	t.Parallel()
	program := []byte(elfHeader(elf.EM_SPARCV9))[:headSize]
	const magic = "magic 7f454c4602010100000000000000000002002b00\nmask fffffffffffffe00fffffffffffffffffeffffff\n"
	for name, c := range map[string]struct {
		entry string
		want  bool
	}{
		"enabled":       {"enabled\ninterpreter /usr/bin/qemu-sparc64\nflags: OCF\noffset 0\n" + magic, true},
		"disabled":      {"disabled\ninterpreter /usr/bin/qemu-sparc64\nflags: \noffset 0\n" + magic, false},
		"another magic": {"enabled\ninterpreter /x\nflags: \noffset 0\nmagic 7f454c4602010100000000000000000002001600\n", false},
		"by extension":  {"enabled\ninterpreter /x\nflags: \nextension .jar\n", false},
		"nonsense":      {"enabled\nmagic zz\n", false},
		"empty":         {"", false},
	} {
		dir := directory(t, file("register", "", 0o200), file("status", "enabled\n", 0o644), file("qemu", c.entry, 0o644))
		if got := hasInterpreter(dir, program); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if hasInterpreter(filepath.Join(t.TempDir(), "gone"), program) {
		t.Error("interpreter without binfmt_misc")
	}
}

func TestReadHeadLeavesTheOffsetAlone(t *testing.T) {
	t.Parallel()
	root := directory(t, module("x"))
	f, err := os.Open(filepath.Join(root, "x"))
	check(t, err)
	defer f.Close()
	_, err = readHead(f)
	check(t, err)
	if at, err := f.Seek(0, 1); err != nil || at != 0 {
		t.Fatal(at, err)
	}
}
