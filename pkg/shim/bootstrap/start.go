package bootstrap

import (
	"context"
	"errors"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/bundle"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/cgroupfs"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/options"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/quick"
)

// start answers with the address of the shim for a container. Package quick does it,
// and asks here for what it is not sure of.
func start(ctx context.Context, p Process, c Config, f *Flags) error {
	if p.Dir == "" {
		return errors.New("the working directory, which is the bundle, is gone")
	}
	stdin, err := readStdin(p.Stdin)
	if err != nil {
		return err
	}
	s := quick.Start{
		Command:    f.command(),
		Environ:    p.Environ,
		Dir:        p.Dir,
		Stdin:      stdin,
		Answer:     func(b []byte) error { _, err := p.Stdout.Write(b); return err },
		Executable: c.Executable,
		Group:      func() (string, error) { return group(bundle.Dir(p.Dir), f.ID) },
		Options:    startOptions,
		JoinCgroup: func(cgroup string, pid int) error { return joinCgroup(cgroupfs.Root, cgroup, pid) },
	}
	return s.Run(ctx)
}

func startOptions(typeURL string, value []byte) (quick.Options, error) {
	o, _, err := options.Parse(typeURL, value)
	return quick.Options{ShimCgroup: o.ShimCgroup, Debug: o.Debug}, err
}
