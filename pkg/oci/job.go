package oci

import (
	"slices"
	"strings"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/privilege"
)

// defaultExport is the entry point of a WASI command (WASI application-abi.md).
const defaultExport = "_start"

// job is what the runner needs to run a module. args is the command without an
// init before it.
func (p *planner) job(prog *program, args []string) (*job.Job, error) {
	if i, found := hasNUL(args); found {
		return nil, invalidf("process.args[%d] contains a NUL byte: remove it", i)
	}
	if i, found := hasNUL(p.process.Env); found {
		return nil, invalidf("process.env[%d] contains a NUL byte: remove it", i)
	}
	argv, export := slices.Clone(args), defaultExport
	if suffix, ok := strings.CutSuffix(argv[0], "#"+prog.export); ok && prog.export != "" {
		argv[0], export = suffix, prog.export
	}
	return &job.Job{
		Version:          job.Version,
		Module:           prog.path,
		Export:           export,
		Args:             argv,
		Env:              environment(p.process.Env, p.process.Cwd),
		Preopens:         preopens(),
		MemoryLimit:      p.settings.bound(p.memoryLimit()),
		KeepCapabilities: p.keepCapabilities(),
		PrivateCode:      p.settings.privateCode,
	}, nil
}

// environment is the spec's, and PWD: WASI has no working directory, and Go's
// wasip1 port takes it from there.
func environment(env []string, cwd string) []string {
	env = slices.Clone(env)
	if slices.ContainsFunc(env, func(s string) bool { return strings.HasPrefix(s, "PWD=") }) {
		return env
	}
	return append(env, "PWD="+cwd)
}

// preopens opens the container's root as "/", and nothing else.
//
// A second preopen for cwd would not make relative paths work in more guests.
// wasi-libc starts at "/" and strips "/" and "./" from preopens and paths
// alike, so that "x" and "/x" are one; wazero renames a preopen "." to "/",
// of which one can exist. It would even do harm: wazero refuses to rename a
// file from one preopen to another, and listeners would move from fd 4.
func preopens() []job.Preopen {
	return []job.Preopen{{Guest: "/", Host: "/"}}
}

// memoryLimit of the container in bytes; 0 is none.
func (p *planner) memoryLimit() int64 {
	c := p.container
	if c == nil || c.Linux == nil || c.Linux.Resources == nil || c.Linux.Resources.Memory == nil || c.Linux.Resources.Memory.Limit == nil {
		return 0
	}
	return max(0, *c.Linux.Resources.Memory.Limit)
}

// keepCapabilities lets root in the container use its volumes as with any other
// runtime.
func (p *planner) keepCapabilities() []string {
	var keep []string
	for _, name := range capabilitiesAfterExec(p.process) {
		if privilege.Keepable(name) {
			keep = append(keep, name)
		}
	}
	return keep
}
