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
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/bundle"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cli"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/compilejob"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/compiler"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/early"
	_ "github.com/containerd-wazero/containerd-shim-wazero/pkg/early/daemon"
	_ "github.com/containerd-wazero/containerd-shim-wazero/pkg/early/guest"
	_ "github.com/containerd-wazero/containerd-shim-wazero/pkg/early/pod"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/launcher/direct"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/launcher/pod"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/launcher/runc"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/bootstrap"
)

func main() {
	if os.Args[0] == job.ExecPath && os.Getenv(job.RoleEnv) == compilejob.Role {
		os.Exit(compiler.Main())
	}
	if cli.Wants(os.Args[1:]) {
		os.Exit(cli.Main(cli.Process{Args: os.Args[1:], Getenv: os.Getenv, Stdout: os.Stdout, Stderr: os.Stderr}))
	}
	dir, _ := os.Getwd() // "" if it has been deleted
	flags, status := bootstrap.Main(bootstrap.Process{
		Args: os.Args[1:], Environ: os.Environ(), Dir: dir,
		Stdin: early.Stdin(), Stdout: os.Stdout, Stderr: os.Stderr,
	}, bootstrap.Config{Cleanup: cleanup})
	if flags == nil {
		os.Exit(status)
	}
	if err := serve(flags); err != nil {
		fmt.Fprintln(os.Stderr, "containerd-shim-wazero-v1:", err)
		os.Exit(1)
	}
}

// cleanup removes what is left of a container, or of a pod.
func cleanup(ctx context.Context, dir bundle.Dir, id string) error {
	return errors.Join(cleanupContainer(ctx, dir, id), pod.Cleanup(ctx, dir, cleanupContainer))
}

func cleanupContainer(ctx context.Context, dir bundle.Dir, id string) error {
	return errors.Join(runc.Cleanup(ctx, dir, id), direct.Cleanup(ctx, dir, id))
}

// serve is the role without an action: the shim itself.
func serve(flags *bootstrap.Flags) error {
	listener, err := flags.Listener()
	if err != nil {
		return err
	}
	return shim.Serve(shim.Config{
		Namespace:  flags.Namespace,
		Debug:      flags.Debug,
		Containerd: flags.Address,
		Events:     os.Getenv("TTRPC_ADDRESS"),
		Listener:   listener,
		Arrived:    flags.Created,
		Retire:     flags.Retire,
	})
}
