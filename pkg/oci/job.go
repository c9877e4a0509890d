package oci

import (
	"math"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/privilege"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi/listen"
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
	listeners, err := p.listeners()
	if err != nil {
		return nil, err
	}
	cgi, err := p.cgi(listeners)
	if err != nil {
		return nil, err
	}
	directories := p.settings.directories()
	env := p.environment()
	if cgi == nil { // otherwise they are not the guest's
		env = listen.Environ(env, listeners, job.FirstPreopen+len(directories))
	}
	return &job.Job{
		Version:          job.Version,
		Module:           prog.path,
		Export:           export,
		Args:             argv,
		Env:              env,
		Preopens:         directories,
		MemoryLimit:      p.settings.bound(p.memoryLimit()),
		CPUs:             p.cpus(),
		KeepCapabilities: p.keepCapabilities(listeners),
		PrivateCode:      p.settings.privateCode,
		Network:          p.settings.network,
		Listeners:        listeners,
		CoarseClock:      p.settings.coarseClock,
		Graceful:         p.settings.graceful && p.first,
		CGI:              cgi,
	}, nil
}

// environment is the spec's, and PWD: WASI has no working directory, and Go's
// wasip1 port takes it from there.
func (p *planner) environment() []string {
	if p.settings.noEnv {
		return nil
	}
	env, _ := listen.Without(slices.Clone(p.process.Env))
	if slices.ContainsFunc(env, func(s string) bool { return strings.HasPrefix(s, "PWD=") }) {
		return env
	}
	return append(env, "PWD="+p.process.Cwd)
}

// memoryLimit of the container in bytes; 0 is none.
func (p *planner) memoryLimit() int64 {
	memory := p.resources().Memory
	if memory == nil || memory.Limit == nil {
		return 0
	}
	return max(0, *memory.Limit)
}

// resources are linux.resources of the container.
func (p *planner) resources() specs.LinuxResources {
	c := p.container
	if c == nil || c.Linux == nil || c.Linux.Resources == nil {
		return specs.LinuxResources{}
	}
	return *c.Linux.Resources
}

// keepCapabilities lets root in the container use its volumes, and its ports, as
// with any other runtime.
func (p *planner) keepCapabilities(listeners []listen.Socket) []string {
	var keep []string
	for _, name := range capabilitiesAfterExec(p.process) {
		if privilege.Keepable(name) || name == privilege.BindService && slices.ContainsFunc(listeners, listen.Socket.Privileged) {
			keep = append(keep, name)
		}
	}
	return keep
}

// cpus is linux.resources.cpu.quota in CPUs, rounded up; 0 if there is none.
func (p *planner) cpus() int {
	cpu := p.resources().CPU
	if cpu == nil || cpu.Quota == nil || *cpu.Quota <= 0 || cpu.Period == nil || *cpu.Period == 0 {
		return 0
	}
	period := int64(min(*cpu.Period, math.MaxInt32)) // the kernel takes a second at most
	return int(min((*cpu.Quota-1)/period+1, math.MaxInt32))
}
