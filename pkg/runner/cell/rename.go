//go:build linux && (amd64 || arm64)

package cell

import (
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/seccomp"
)

// rename allows what Go renames with on these architectures.
func rename(p *seccomp.Policy) {
	p.Allow(unix.SYS_RENAMEAT)
}
