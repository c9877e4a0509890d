package cage

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/compilejob"
)

const (
	// maxThreads is far more than the Go runtime starts here.
	maxThreads = 64
	// runtimeAddresses is the address space in bytes that the Go runtime reserves
	// without using it.
	runtimeAddresses = 2 << 30
	// runtimeData is how much of it counts as data, in bytes: whole arenas do, of
	// which little may be in use.
	runtimeData = 512 << 20
)

// limit sets resource limits for ever: raising one takes a capability. Memory is
// bounded by the cgroup, if there is one; what is here counts addresses, of which
// more are taken than used. With a cgroup it must not be reached first: the Go
// runtime may crash in any way where it gets no memory.
func limit(j *compilejob.Job) error {
	memory := uint64(j.Memory)
	data := memory + memory/4
	if j.InCgroup {
		data = 2*memory + runtimeData
	}
	for _, l := range []struct {
		resource int
		name     string
		value    uint64
	}{
		{unix.RLIMIT_CPU, "CPU", j.CPUSeconds},
		{unix.RLIMIT_DATA, "DATA", data},
		{unix.RLIMIT_AS, "AS", 2*memory + runtimeAddresses},
		{unix.RLIMIT_FSIZE, "FSIZE", 0}, // pipes are no files
		{unix.RLIMIT_NPROC, "NPROC", maxThreads},
		{unix.RLIMIT_MEMLOCK, "MEMLOCK", 0},
		{unix.RLIMIT_MSGQUEUE, "MSGQUEUE", 0},
		{unix.RLIMIT_CORE, "CORE", 0},
		{unix.RLIMIT_NOFILE, "NOFILE", 0}, // no more of them
	} {
		// One that is lower already stays as it is.
		var now unix.Rlimit
		if err := unix.Getrlimit(l.resource, &now); err != nil {
			return fmt.Errorf("read RLIMIT_%s: %w", l.name, err)
		}
		value := min(l.value, now.Max)
		if err := unix.Setrlimit(l.resource, &unix.Rlimit{Cur: value, Max: value}); err != nil {
			return fmt.Errorf("set RLIMIT_%s: %w", l.name, err)
		}
	}
	return nil
}
