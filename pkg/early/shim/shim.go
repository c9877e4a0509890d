// Package shim runs the shim itself as soon as the packages are initialised that it
// needs. Those for HTTP, which runners that serve it need and no other process, are not
// among them: see package early.
package shim

import (
	"os"
	"slices"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/program"
)

func init() {
	// This is how "start" calls it; a guest's runner may have any arguments.
	if len(os.Args) < 2 || os.Args[0] == job.ExecPath || os.Args[1] != "-namespace" || !slices.Contains(os.Args, "-socket") {
		return
	}
	// See package guest.
	go func() { os.Exit(program.Main()) }()
	select {}
}
