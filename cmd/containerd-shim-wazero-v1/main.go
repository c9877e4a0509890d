// To find out how much CPU its cgroup may use, the Go runtime would read the table of
// mounts at the start of every process, which is long on a busy node. No role lives by
// it: see job.Job.CPUs.
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Command containerd-shim-wazero-v1 is the containerd shim that runs Wasm
// images with wazero. One binary has all the roles; main decides which, after package
// early and those below it, which have taken those that must be quick.
package main

import (
	"os"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgi"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cli"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/compilejob"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/compiler"
	_ "github.com/containerd-wazero/containerd-shim-wazero/pkg/early/daemon"
	_ "github.com/containerd-wazero/containerd-shim-wazero/pkg/early/guest"
	_ "github.com/containerd-wazero/containerd-shim-wazero/pkg/early/pod"
	_ "github.com/containerd-wazero/containerd-shim-wazero/pkg/early/shim"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/program"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/runner"
)

func main() { os.Exit(run()) }

func run() int {
	if os.Args[0] == job.ExecPath {
		switch os.Getenv(job.RoleEnv) {
		case compilejob.Role:
			return compiler.Main()
		case job.RoleServer:
			return runner.MainServing(cgi.Open)
		}
	}
	if cli.Wants(os.Args[1:]) {
		return cli.Main(cli.Process{Args: os.Args[1:], Getenv: os.Getenv, Stdout: os.Stdout, Stderr: os.Stderr})
	}
	return program.Main()
}
