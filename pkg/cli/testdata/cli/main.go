// Command cli is the binary without the shim: its commands, and the compiler that
// they start.
package main

import (
	"os"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cli"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/compilejob"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/compiler"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
)

func main() {
	if os.Args[0] == job.ExecPath && os.Getenv(job.RoleEnv) == compilejob.Role {
		os.Exit(compiler.Main())
	}
	os.Exit(cli.Main(cli.Process{Args: os.Args[1:], Getenv: os.Getenv, Stdout: os.Stdout, Stderr: os.Stderr}))
}
