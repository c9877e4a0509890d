package engine

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// MaxModuleSize is the largest module that is compiled or run, in bytes. The
// largest known ones (compilers) have 80 MB.
const MaxModuleSize = 512 << 20

// ReadFile copies a module into memory of its own; Free gives it back. Errors are
// sentences about the module of this name.
//
// Mapping the file would save the copy, but whoever truncates the file meanwhile
// would kill this process with SIGBUS, and whoever changes it would have one
// module checked and another one run.
func ReadFile(file *os.File, name string) (data []byte, err error) {
	size, err := fileSize(file, name)
	if err != nil {
		return nil, err
	}
	data, err = unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, fmt.Errorf("allocate memory for module %q: %w", name, err)
	}
	// Fewer page faults for large modules; it need not work.
	_ = unix.Madvise(data, unix.MADV_HUGEPAGE)
	if _, err := io.ReadFull(io.NewSectionReader(file, 0, size), data); err != nil {
		Free(data)
		return nil, fmt.Errorf("read module %q: %w", name, err)
	}
	return data, nil
}

// Free gives back what ReadFile returned.
func Free(data []byte) { _ = unix.Munmap(data) }

// fileSize returns the size of a file that can be a module, in bytes.
func fileSize(file *os.File, name string) (int64, error) {
	info, err := file.Stat()
	if err != nil {
		return 0, fmt.Errorf("read module %q: %w", name, err)
	}
	size := info.Size()
	switch {
	case !info.Mode().IsRegular():
		return 0, fmt.Errorf("module %q is not a regular file", name)
	case size == 0:
		return 0, fmt.Errorf("module %q is empty", name)
	case size > MaxModuleSize:
		return 0, fmt.Errorf("module %q has %d bytes; modules of up to %d bytes can run", name, size, MaxModuleSize)
	}
	return size, nil
}
