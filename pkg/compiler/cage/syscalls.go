package cage

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/seccomp"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/seccomp/goruntime"
)

// policy is what the Go runtime needs while it computes, and what it takes to
// read the module and write the result. Everything else ends the process:
// there is no way to a file, a socket, another program or another process.
func policy() *seccomp.Policy {
	p := &seccomp.Policy{Otherwise: seccomp.Kill}
	goruntime.Allow(p, os.Getpid())
	// Memory becomes executable only if it cannot be written to.
	p.Allow(unix.SYS_MPROTECT, seccomp.Only(2, unix.PROT_READ|unix.PROT_WRITE))
	p.Allow(unix.SYS_MPROTECT, seccomp.Only(2, unix.PROT_READ|unix.PROT_EXEC))
	// The descriptors that are open, besides read and write.
	p.Allow(unix.SYS_PREAD64)
	p.Allow(unix.SYS_FSTAT)
	p.Allow(unix.SYS_CLOSE)
	return p
}
