// Package pod runs the roles of a pod's processes as soon as the packages are
// initialised that the roles need, rather than those of the whole binary: see package
// early.
package pod

import (
	"os"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/holder"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
)

func init() {
	if len(os.Args) == 0 || os.Args[0] != job.ExecPath {
		return
	}
	switch os.Getenv(job.RoleEnv) {
	case holder.Role:
		become(holder.Main)
	case holder.RoleMidwife:
		become(holder.Midwife)
	}
}

// become ends the process with the role. It runs in a goroutine that is not bound to a
// thread, other than this one while packages are initialised.
func become(role func() int) {
	go func() { os.Exit(role()) }()
	select {}
}
