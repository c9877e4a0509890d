package runner

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
)

// maxModuleSize is the largest module that a runner loads, in bytes. The largest
// known ones (compilers) have 80 MB.
const maxModuleSize = 512 << 20

// readModule copies the module into memory of its own and closes the
// descriptor. The caller unmaps the result.
//
// Mapping the file would save the copy (1 ms for 3 MB), but whoever truncates
// the file meanwhile would kill this process with SIGBUS.
func readModule(name string) (data []byte, err error) {
	file := os.NewFile(job.FDModule, name)
	if file == nil {
		return nil, errors.New("the shim passed no module")
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("read module %q: %w", name, err)
	}
	size := info.Size()
	switch {
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("module %q is not a regular file", name)
	case size == 0:
		return nil, fmt.Errorf("module %q is empty", name)
	case size > maxModuleSize:
		return nil, fmt.Errorf("module %q has %d bytes; modules of up to %d bytes can run", name, size, maxModuleSize)
	}
	data, err = unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, fmt.Errorf("allocate memory for module %q: %w", name, err)
	}
	if _, err := io.ReadFull(io.NewSectionReader(file, 0, size), data); err != nil {
		_ = unix.Munmap(data)
		return nil, fmt.Errorf("read module %q: %w", name, err)
	}
	return data, nil
}
