// Package bootstrap is how containerd starts the shim, cleans up after it and
// asks about it: the actions start and delete, -info and -v, and the socket.
//
// The binary's main calls Main before anything else:
//
//	flags, code := bootstrap.Main(process, config)
//	if flags == nil {
//		os.Exit(code)
//	}
//	listener, err := flags.Listener()
//	… serve the Task service on listener until Retire says yes …
//
// One binary serves containerd 1.6 to 2.4. The generations differ in what start
// finds on stdin and may answer; see answer.
package bootstrap

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/bundle"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/version"
)

// Process is what the shim gets from its parent.
type Process struct {
	// Args is the command line without the program's name.
	Args []string
	// Environ is the environment as KEY=VALUE.
	Environ []string
	// Dir is the working directory: the bundle, when containerd is the parent.
	// Empty when it has been deleted.
	Dir            string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// Config connects the bootstrap with the rest of the shim.
type Config struct {
	// Executable is the path of the binary that start runs as the daemon.
	// Empty means the running binary.
	Executable string
	// Cleanup ends and removes what is left of the container id whose bundle is
	// dir, without the shim's help. It is called more than once, also when
	// nothing is left, and must not touch other containers.
	Cleanup func(ctx context.Context, dir bundle.Dir, id string) error
}

// startTimeout and deleteTimeout bound the actions. containerd itself gives
// delete 5 s (io.containerd.timeout.shim.cleanup).
const (
	startTimeout  = 10 * time.Second
	deleteTimeout = 4 * time.Second
	infoTimeout   = 5 * time.Second
)

// Main does what the command line asks for. When that is to serve as the shim
// itself, it returns the flags and leaves the rest to the caller; otherwise it
// returns nil and the exit status.
//
// On success it writes nothing to p.Stderr: containerd before 2.3 mixes it into
// the answer of start.
func Main(p Process, c Config) (*Flags, int) {
	flags, err := Parse(p.Args)
	if errors.Is(err, flag.ErrHelp) {
		_, _ = io.WriteString(p.Stdout, usage)
		return nil, 0
	}
	if err == nil {
		if flags.daemon() {
			return flags, 0
		}
		err = run(p, c, flags)
	}
	if err != nil {
		fmt.Fprintf(p.Stderr, "%s: %v\n", version.Runtime, err)
		return nil, 1
	}
	return nil, 0
}

func run(p Process, c Config, f *Flags) error {
	switch {
	case f.Version:
		return printVersion(p.Stdout)
	case f.Info:
		ctx, cancel := context.WithTimeout(context.Background(), infoTimeout)
		defer cancel()
		return info(ctx, p)
	case f.Action == actionStart:
		ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
		defer cancel()
		return start(ctx, p, c, f)
	default:
		ctx, cancel := context.WithTimeout(context.Background(), deleteTimeout)
		defer cancel()
		return remove(ctx, p, c, f)
	}
}

func printVersion(w io.Writer) error {
	v := version.Get()
	_, err := fmt.Fprintf(w, "%s:\n  Version:    %s\n  Revision:   %s\n  Go version: %s\n  wazero:     %s\n\n",
		program, v.Version, v.Revision, v.Go, v.Wazero)
	return err
}

// bundleDir is the bundle of the container that the flags name.
func bundleDir(p Process, f *Flags) (bundle.Dir, error) {
	path := f.Bundle
	if path == "" {
		if p.Dir == "" {
			return "", errors.New("the working directory is gone: name the bundle with -bundle")
		}
		path = p.Dir
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(p.Dir, path)
	}
	if !filepath.IsAbs(path) {
		return "", fmt.Errorf("-bundle %q is not an absolute path", f.Bundle)
	}
	return bundle.Dir(filepath.Clean(path)), nil
}
