package profile

import (
	"errors"
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// check refuses what our filter could not stand in for, whatever it allows, and
// what runc would refuse: the user is to hear about it.
func check(p *specs.LinuxSeccomp) error {
	if p.ListenerPath != "" || p.ListenerMetadata != "" {
		return errors.New("listenerPath: somebody wants to be asked about system calls")
	}
	for _, f := range p.Flags {
		switch f {
		case specs.LinuxSeccompFlagSpecAllow: // leaves out mitigations, which nobody has to
		case "SECCOMP_FILTER_FLAG_TSYNC": // all threads have our filter
		default:
			return fmt.Errorf("flags: %s is not supported here", f)
		}
	}
	// Other architectures than the machine's own end the process in our filter.
	for _, a := range p.Architectures {
		if !architectures[a] {
			return fmt.Errorf("architectures: %q is unknown", a)
		}
	}
	if !actions[p.DefaultAction] {
		return fmt.Errorf("defaultAction: %q is unknown", p.DefaultAction)
	}
	for i := range p.Syscalls {
		if err := checkEntry(&p.Syscalls[i]); err != nil {
			return fmt.Errorf("syscalls[%d]: %w", i, err)
		}
	}
	return nil
}

func checkEntry(e *specs.LinuxSyscall) error {
	if !actions[e.Action] {
		return fmt.Errorf("action %q is unknown", e.Action)
	}
	for _, a := range e.Args {
		if a.Index > 5 || !operators[a.Op] {
			return fmt.Errorf("argument %d %q is none", a.Index, a.Op)
		}
	}
	return nil
}

var actions = map[specs.LinuxSeccompAction]bool{
	specs.ActKill: true, specs.ActKillProcess: true, specs.ActKillThread: true, specs.ActTrap: true,
	specs.ActErrno: true, specs.ActTrace: true, specs.ActAllow: true, specs.ActLog: true, specs.ActNotify: true,
}

var operators = map[specs.LinuxSeccompOperator]bool{
	specs.OpNotEqual: true, specs.OpLessThan: true, specs.OpLessEqual: true, specs.OpEqualTo: true,
	specs.OpGreaterEqual: true, specs.OpGreaterThan: true, specs.OpMaskedEqual: true,
}

var architectures = map[specs.Arch]bool{
	specs.ArchX86: true, specs.ArchX86_64: true, specs.ArchX32: true, specs.ArchARM: true, specs.ArchAARCH64: true,
	specs.ArchMIPS: true, specs.ArchMIPS64: true, specs.ArchMIPS64N32: true, specs.ArchMIPSEL: true,
	specs.ArchMIPSEL64: true, specs.ArchMIPSEL64N32: true, specs.ArchPPC: true, specs.ArchPPC64: true,
	specs.ArchPPC64LE: true, specs.ArchS390: true, specs.ArchS390X: true, specs.ArchPARISC: true,
	specs.ArchPARISC64: true, specs.ArchRISCV64: true, specs.ArchLOONGARCH64: true, specs.ArchM68K: true,
	specs.ArchSH: true, specs.ArchSHEB: true,
}
