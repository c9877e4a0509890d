package container

import (
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/cgroupfs"
)

// Create is Prepare with limits. If it fails, nothing that it made is left.
func Create(path string, r *specs.LinuxResources) (*Cgroup, error) {
	l, err := host()
	if err != nil {
		return nil, err
	}
	return create(l, path, r)
}

func create(l *cgroupfs.Layout, path string, r *specs.LinuxResources) (*Cgroup, error) {
	c, made, err := prepare(l, path, r)
	if err != nil {
		return nil, err
	}
	if err := c.Limit(); err != nil {
		made.undo()
		return nil, err
	}
	return c, nil
}
