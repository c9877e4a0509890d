package container

import (
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/cgroupfs"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/scope"
)

// unit is the part that systemd has in a cgroup. It is told all limits that it knows,
// for it sets them again when it likes (systemctl daemon-reload); what it does not
// know, and the exact values, are in the kernel's files, as without systemd.
type unit struct {
	name    scope.Name
	started bool
}

// PrepareScope is Prepare for a scope, which nothing is made of before Begin: systemd
// wants a process for that. The process is cloned without the cgroup, then.
func PrepareScope(name scope.Name, r *specs.LinuxResources) (*Cgroup, error) {
	l, err := host()
	if err != nil {
		return nil, err
	}
	if !l.V2 {
		return nil, errors.New("systemd is not asked for cgroups of v1")
	}
	c := &Cgroup{layout: l, path: name.Path(), scope: &unit{name: name}, limits: limitsOf(r)}
	if err := checkPath(c.path); err != nil {
		return nil, err
	}
	if _, err := c.plan(&c.limits); err != nil {
		return nil, err
	}
	if _, err := c.limits.properties(newest); err != nil {
		return nil, err
	}
	// One that systemd does not know of would become the scope's.
	if err := c.checkUnused(l.Unified + c.path); err != nil {
		return nil, err
	}
	return c, nil
}

// start makes the scope, with limits that systemd sets.
func (c *Cgroup) start(ctx context.Context, pid int) error {
	version, err := scope.Version(ctx)
	if err != nil {
		return err
	}
	properties, err := c.limits.properties(version)
	if err != nil {
		return err
	}
	err = scope.Start(ctx, scope.Scope{
		Name:        c.scope.name,
		Description: "container of containerd-shim-wazero, " + c.scope.name.Unit,
		Properties:  append(properties, c.limits.oomPolicy(version)...),
	}, pid)
	if err != nil {
		return err
	}
	c.scope.started = true
	own, err := cgroupfs.Of(pid)
	if err != nil {
		return fmt.Errorf("the cgroup of process %d: %w", pid, err)
	}
	if is := c.layout.Hierarchies[0].PathIn(own); is != c.path {
		return fmt.Errorf("systemd has made the scope %s as the cgroup %s, not %s", c.scope.name.Unit, is, c.path)
	}
	// systemd hands down only those that it knows.
	return c.enableControllers()
}

// tellSystemd makes systemd know limits.
func (c *Cgroup) tellSystemd(ctx context.Context, l *limits) error {
	if c.scope == nil {
		return nil
	}
	version, err := scope.Version(ctx)
	if err != nil {
		return err
	}
	properties, err := l.properties(version)
	if err != nil {
		return err
	}
	return scope.Set(ctx, c.scope.name.Unit, properties)
}
