// Exec runs a module like a program of the machine, by the runner that containers
// have:
//
//	GOOS=wasip1 GOARCH=wasm go test -exec 'exec SHIM' PACKAGE
//
// The guest has the environment, the working directory as Go takes it from PWD, and
// all files.
package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
	"github.com/containerd-wazero/containerd-shim-wazero/test/wasi/play"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: exec SHIM MODULE [ARGUMENT...]")
		os.Exit(2)
	}
	status, err := run(os.Args[1], os.Args[2], os.Args[2:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 125
	}
	os.Exit(status)
}

func run(shim, module string, args []string) (int, error) {
	cwd, err := os.Getwd()
	if err != nil {
		return 0, err
	}
	env := slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "PWD=") })
	guest := play.Guest{Binary: shim, Path: module, Stdio: [3]*os.File{os.Stdin, os.Stdout, os.Stderr}, Job: job.Job{
		Module: module, Export: "_start", Args: args, Env: append(env, "PWD="+cwd),
		Preopens: []job.Preopen{{Guest: "/", Host: "/"}},
	}}
	return guest.Run(context.Background())
}
