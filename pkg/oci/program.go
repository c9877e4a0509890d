package oci

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// format is what a file is, as far as its first bytes tell.
type format int

const (
	formatUnknown format = iota
	formatEmpty
	formatTruncated
	formatText
	formatWasmText
	formatWasm
	formatComponent
	formatWasmVersion
	formatELF
	formatScript
)

// headSize is how much of a file is looked at: an ELF header up to e_machine.
const headSize = 20

// wasmHead is how much of a Wasm file is looked at: magic and version.
const wasmHead = 8

// head is the begin of a file.
type head struct {
	data   []byte
	format format
}

// readHead reads the begin of a file and leaves its offset alone.
func readHead(f io.ReaderAt) (head, error) {
	buf := make([]byte, headSize)
	n, err := f.ReadAt(buf, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return head{}, err
	}
	return headOf(buf[:n]), nil
}

func headOf(data []byte) head { return head{data: data, format: formatOf(data)} }

// formatOf knows the magic numbers. Wasm: core specification §5.5.16, component
// model "Binary Format" (layer 1). ELF: gABI "ELF Identification".
func formatOf(data []byte) format {
	switch {
	case len(data) == 0:
		return formatEmpty
	case bytes.HasPrefix(data, []byte("#!")):
		return formatScript
	case bytes.HasPrefix(data, []byte("\x7fELF")):
		if len(data) < headSize {
			return formatTruncated
		}
		return formatELF
	case bytes.HasPrefix(data, []byte("\x00asm")):
		return wasmFormatOf(data)
	case bytes.HasPrefix([]byte("\x00asm"), data), bytes.HasPrefix([]byte("\x7fELF"), data):
		return formatTruncated
	case isWasmText(data):
		return formatWasmText
	case isText(data):
		return formatText
	default:
		return formatUnknown
	}
}

func wasmFormatOf(data []byte) format {
	if len(data) < wasmHead {
		return formatTruncated
	}
	switch string(data[4:wasmHead]) {
	case "\x01\x00\x00\x00":
		return formatWasm
	case "\x0d\x00\x01\x00":
		return formatComponent
	default:
		return formatWasmVersion
	}
}

func isWasmText(data []byte) bool {
	s := strings.TrimLeft(string(data), " \t\r\n")
	return strings.HasPrefix(s, "(module") || strings.HasPrefix(s, "(component") || strings.HasPrefix(s, ";;")
}

// isText accepts UTF-8, of which the last character may be cut.
func isText(data []byte) bool {
	for len(data) > 0 {
		r, n := utf8.DecodeRune(data)
		if r == utf8.RuneError && n == 1 {
			return !utf8.FullRune(data)
		}
		if r < ' ' && !strings.ContainsRune("\t\n\v\f\r\x1b", r) {
			return false
		}
		data = data[n:]
	}
	return true
}

// native tells whether the kernel may be able to execute the file.
func (h head) native() bool { return h.format == formatELF || h.format == formatScript }

// wasm tells whether the file is meant to be WebAssembly, whatever its state.
func (h head) wasm() bool {
	switch h.format {
	case formatWasm, formatComponent, formatWasmVersion:
		return true
	default:
		return false
	}
}

// fault is what is wrong with a file as a Wasm module and what to do about it;
// "" if nothing is.
func (h head) fault() string {
	switch h.format {
	case formatWasm:
		return ""
	case formatEmpty:
		return "is an empty file: copy the module into the image again"
	case formatTruncated:
		return fmt.Sprintf("is a truncated file of %d bytes: copy the module into the image again", len(h.data))
	case formatText:
		return `is a text file without "#!" line, neither a Wasm module nor a program: check ENTRYPOINT and CMD of the image`
	case formatWasmText:
		return "is WebAssembly text, not a Wasm module: compile it first (wat2wasm)"
	case formatComponent:
		return "is a Wasm component, which this runtime cannot run: build it as a module for wasip1, or extract the core module (wasm-tools component unbundle)"
	case formatWasmVersion:
		return fmt.Sprintf("is WebAssembly of the unknown version %d, this runtime runs version 1: build it as a module for wasip1",
			binary.LittleEndian.Uint32(h.data[4:wasmHead]))
	case formatELF, formatScript:
		return "is a native program, not a Wasm module"
	default:
		return fmt.Sprintf("is neither a Wasm module nor a program (it begins with % x): check ENTRYPOINT and CMD of the image", h.data)
	}
}
