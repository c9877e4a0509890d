package runner

import (
	"runtime"

	"golang.org/x/sys/cpu"
	"golang.org/x/sys/unix"
)

// compilerWorks tells whether wazero can generate code for this CPU and whether
// the kernel lets this process execute it. wazero would choose by itself, but
// tells nobody.
func compilerWorks() bool {
	switch runtime.GOARCH {
	case "amd64":
		return cpu.X86.HasSSE41 && executableMemory()
	case "arm64":
		// Its atomics are needed for the threads proposal.
		return cpu.ARM64.HasATOMICS && executableMemory()
	default:
		return false
	}
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
