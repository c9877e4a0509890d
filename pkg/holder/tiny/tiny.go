// Package tiny makes programs of a few instructions: the processes that wait or
// change places and for which a Go program, with its threads and MiB, is too much.
//
// Their machine code is written in the assembly language of Go (program_*.s),
// so it comes with the binary. It has no data and no stack frame, calls nothing
// and runs wherever it is copied to; a marker says where it ends.
package tiny

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/memfd"
)

// Sleep returns a program that reads standard input to its end and exits with
// status 0. The error is errors.ErrUnsupported where there is none.
func Sleep() (*os.File, error) {
	if sleepCode == nil {
		return nil, unsupported()
	}
	return program("sleep", sleepCode())
}

// Enter returns a program that joins the user namespace of descriptor 5, becomes
// user and group 0 of it, and executes "/proc/self/fd/3" with its own arguments
// and environment. It exits with status 127 if any of that fails. The kernel lets
// no process with several threads into a user namespace, which every Go program is.
//
// The error is errors.ErrUnsupported where there is none.
func Enter() (*os.File, error) {
	if enterCode == nil {
		return nil, unsupported()
	}
	return program("enter", enterCode())
}

func unsupported() error {
	return fmt.Errorf("no small programs for the architecture %s: %w", runtime.GOARCH, errors.ErrUnsupported)
}

// maxCode bounds a program in bytes.
const maxCode = 512

// marker is what the assembly files put behind the last instruction.
var marker = []byte{0xfe, 0xed, 0xfa, 0xce, 0xca, 0xfe, 0xf0, 0x0d}

// program puts code into an executable file that nobody can change.
func program(name string, start unsafe.Pointer) (*os.File, error) {
	code := unsafe.Slice((*byte)(start), maxCode)
	end := bytes.Index(code, marker)
	if end < 0 {
		return nil, fmt.Errorf("the program %s has no end", name)
	}
	f, err := memfd.NewExecutable("wazero-" + name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if _, err := f.Write(elf(code[:end])); err != nil {
		return nil, err
	}
	return memfd.Finish(f, 0o555)
}

// base is where a program is loaded; any place above the kernel's mmap_min_addr
// would do.
const base = 0x400000

// machines are the architectures' numbers in ELF.
var machines = map[string]uint16{"amd64": 62, "arm64": 183}

// elfHeader is Elf64_Ehdr with one Elf64_Phdr behind it.
type elfHeader struct {
	Ident                      [16]byte
	Type, Machine              uint16
	Version                    uint32
	Entry, Phoff, Shoff        uint64
	Flags                      uint32
	Ehsize, Phentsize, Phnum   uint16
	Shentsize, Shnum, Shstrndx uint16
	PType, PFlags              uint32
	POffset, PVaddr, PPaddr    uint64
	PFilesz, PMemsz, PAlign    uint64
}

// elf makes an executable of one segment that can be read and executed.
func elf(code []byte) []byte {
	const (
		fileHeader    = 64
		programHeader = 56
		executable    = 2       // ET_EXEC
		load          = 1       // PT_LOAD
		readExecute   = 4 | 1   // PF_R | PF_X
		page          = 0x10000 // the largest of the architectures
	)
	size := uint64(fileHeader + programHeader + len(code))
	h := elfHeader{
		Ident: [16]byte{0x7f, 'E', 'L', 'F', 2, 1, 1}, // 64 bits, little endian
		Type:  executable, Machine: machines[runtime.GOARCH], Version: 1,
		Entry: base + fileHeader + programHeader, Phoff: fileHeader,
		Ehsize: fileHeader, Phentsize: programHeader, Phnum: 1,
		PType: load, PFlags: readExecute, PVaddr: base, PPaddr: base,
		PFilesz: size, PMemsz: size, PAlign: page,
	}
	var out bytes.Buffer
	_ = binary.Write(&out, binary.LittleEndian, h) // fixed sizes, into memory
	out.Write(code)
	return out.Bytes()
}
