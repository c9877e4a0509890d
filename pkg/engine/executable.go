package engine

import (
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/entry"
)

// CompilerWorks tells whether wazero can generate code for this CPU and whether
// the kernel lets this process execute it. wazero would choose by itself, but
// tells nobody.
func CompilerWorks() bool {
	return entry.Supported() && executableMemory()
}

// executableMemory tries what wazero does: write, then make executable.
func executableMemory() bool {
	code, err := unix.Mmap(-1, 0, unix.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return false
	}
	defer func() { _ = unix.Munmap(code) }()
	return unix.Mprotect(code, unix.PROT_READ|unix.PROT_EXEC) == nil
}
