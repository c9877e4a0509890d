// See containerd-shim-wazero-v1.
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Command containerd-wazero-cgi is the runner of containers that answer requests by CGI. It is a
// program of its own since every process of the shim would pay for what HTTP takes: a
// millisecond for each container. The shim finds it in its own directory.
package main

import (
	"fmt"
	"os"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgi"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/runner"
)

func main() {
	if os.Args[0] != job.ExecPath || os.Getenv(job.RoleEnv) != job.RoleServer {
		fmt.Fprintln(os.Stderr, job.ServerProgram+" is a part of containerd-shim-wazero-v1, which runs it in containers that answer requests by CGI.\nThere is nothing to do with it but to install it in the same directory.")
		os.Exit(1)
	}
	os.Exit(runner.MainServing(cgi.Open))
}
