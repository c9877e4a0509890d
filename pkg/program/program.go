// Package program is what containerd knows as the shim: the actions that it asks for,
// as far as package early has not taken them, and the shim itself.
package program

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/bundle"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/early"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/launcher/direct"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/launcher/pod"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/launcher/runc"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/bootstrap"
)

// Main does what the command line says, and returns the exit status of the process.
func Main() int {
	dir, _ := os.Getwd() // "" if it has been deleted
	flags, status := bootstrap.Main(bootstrap.Process{
		Args: os.Args[1:], Environ: os.Environ(), Dir: dir,
		Stdin: early.Stdin(), Stdout: os.Stdout, Stderr: os.Stderr,
	}, bootstrap.Config{Cleanup: cleanup})
	if flags == nil {
		return status
	}
	if err := serve(flags); err != nil {
		fmt.Fprintln(os.Stderr, "containerd-shim-wazero-v1:", err)
		return 1
	}
	return 0
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
