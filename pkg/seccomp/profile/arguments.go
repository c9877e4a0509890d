package profile

import (
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/seccomp"
)

// always tells whether it is certain that an entry applies to every call for
// which the conditions hold.
//
// All arguments of an entry have to fit; but if an argument is named twice, runc
// makes alternatives of them. Both are true if each of them fits.
func always(e *specs.LinuxSyscall, conditions []seccomp.Condition) bool {
	for _, a := range e.Args {
		if !known(a.Index, conditions).always(a) {
			return false
		}
	}
	return true
}

// never tells whether it is certain that an entry applies to no call for which
// the conditions hold. One argument that does not fit is enough, but of
// alternatives none may fit.
func never(e *specs.LinuxSyscall, conditions []seccomp.Condition) bool {
	misfits := 0
	for _, a := range e.Args {
		if known(a.Index, conditions).never(a) {
			misfits++
		}
	}
	if repeats(e.Args) {
		return misfits == len(e.Args)
	}
	return misfits > 0
}

func repeats(args []specs.LinuxSeccompArg) bool {
	var seen [6]bool
	for _, a := range args {
		if seen[a.Index] {
			return true
		}
		seen[a.Index] = true
	}
	return false
}

// bits is what is known of an argument: those of mask are as in value, whose
// other bits are 0.
type bits struct{ mask, value uint64 }

// known collects what conditions say about one argument. If they contradict each
// other, there is no such call, and any answer is right.
func known(arg uint, conditions []seccomp.Condition) (b bits) {
	for _, c := range conditions {
		if uint(c.Arg) == arg {
			b.mask |= c.Mask
			b.value |= c.Value
		}
	}
	return b
}

// least and most are the bounds of the argument.
func (b bits) least() uint64 { return b.value }
func (b bits) most() uint64  { return b.value | ^b.mask }

// always tells whether a comparison is certainly true.
func (b bits) always(a specs.LinuxSeccompArg) bool {
	switch a.Op {
	case specs.OpEqualTo:
		return b.least() == a.Value && b.most() == a.Value
	case specs.OpNotEqual:
		return b.excludes(a.Value)
	case specs.OpLessThan:
		return b.most() < a.Value
	case specs.OpLessEqual:
		return b.most() <= a.Value
	case specs.OpGreaterEqual:
		return b.least() >= a.Value
	case specs.OpGreaterThan:
		return b.least() > a.Value
	case specs.OpMaskedEqual:
		// Value is the mask. libseccomp ignores bits of the other value outside it,
		// others may not; this is never true with them.
		return a.Value&^b.mask == 0 && b.value&a.Value == a.ValueTwo
	default:
		return false
	}
}

// never tells whether a comparison is certainly false.
func (b bits) never(a specs.LinuxSeccompArg) bool {
	switch a.Op {
	case specs.OpEqualTo:
		return b.excludes(a.Value)
	case specs.OpNotEqual:
		return b.least() == a.Value && b.most() == a.Value
	case specs.OpLessThan:
		return b.least() >= a.Value
	case specs.OpLessEqual:
		return b.least() > a.Value
	case specs.OpGreaterEqual:
		return b.most() < a.Value
	case specs.OpGreaterThan:
		return b.most() <= a.Value
	case specs.OpMaskedEqual:
		both := b.mask & a.Value
		return b.value&both != a.ValueTwo&both
	default:
		return false
	}
}

// excludes tells whether the argument certainly differs from a value.
func (b bits) excludes(value uint64) bool { return value&b.mask != b.value }
