package holder

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/seccomp"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/seccomp/goruntime"
)

// policy is what it takes to sleep, to become the program that sleeps (once: its
// descriptor is closed by that), and what the Go runtime does meanwhile, or for
// ever where it sleeps itself.
func policy(program int) *seccomp.Policy {
	p := &seccomp.Policy{Otherwise: seccomp.Kill}
	p.Allow(unix.SYS_PRCTL, seccomp.Equal32(0, unix.PR_SET_NAME))
	if program >= 0 {
		p.Allow(unix.SYS_EXECVEAT, seccomp.Equal32(0, uint32(program)), seccomp.Equal32(4, unix.AT_EMPTY_PATH))
	}
	p.Allow(unix.SYS_CLOSE)
	p.Allow(unix.SYS_RT_SIGACTION)
	goruntime.Allow(p, os.Getpid())
	return p
}
