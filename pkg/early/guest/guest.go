// Package guest runs the role of a runner as soon as the packages are initialised that
// the role needs, rather than those of the whole binary: see package early.
package guest

import (
	"os"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/runner"
)

func init() {
	if len(os.Args) == 0 || os.Args[0] != job.ExecPath || os.Getenv(job.RoleEnv) != job.RoleRunner {
		return
	}
	// While packages are initialised, this goroutine is bound to its thread, and would
	// be slow to wake.
	go func() { os.Exit(runner.Main()) }()
	select {}
}
