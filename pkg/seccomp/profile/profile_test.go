package profile

import (
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/runner/cell"
	ours "github.com/containerd-wazero/containerd-shim-wazero/pkg/seccomp"
)

// The profiles of containerd and Docker are compared in test/integration/escape,
// which may depend on them.

// TestEveryCallCounts takes each call out of a profile that is sufficient.
func TestEveryCallCounts(t *testing.T) {
	t.Parallel()
	policy := cell.Policy(1, cell.OpenSockets)
	for _, rule := range policy.Rules {
		if rule.Then != ours.Allow {
			continue
		}
		missing := names[rule.Call]
		p := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno}
		for _, name := range names {
			if name != missing {
				p.Syscalls = append(p.Syscalls, specs.LinuxSyscall{Names: []string{name}, Action: specs.ActAllow})
			}
		}
		if err := Covers(p, policy); err == nil || !strings.HasPrefix(err.Error(), missing) {
			t.Errorf("without %s: %v", missing, err)
		}
		p.Syscalls = append(p.Syscalls, specs.LinuxSyscall{Names: []string{missing}, Action: specs.ActAllow})
		if err := Covers(p, policy); err != nil {
			t.Error(err)
		}
	}
}

const read = "read" // unix.SYS_READ

func policyOf(conditions ...ours.Condition) *ours.Policy {
	p := &ours.Policy{Otherwise: ours.Fail(unix.EPERM)}
	p.Allow(unix.SYS_READ, conditions...)
	return p
}

func entry(action specs.LinuxSeccompAction, args ...specs.LinuxSeccompArg) specs.LinuxSyscall {
	return specs.LinuxSyscall{Names: []string{"open", read}, Action: action, Args: args}
}

func TestProofs(t *testing.T) {
	t.Parallel()
	arg := func(op specs.LinuxSeccompOperator, value, two uint64) specs.LinuxSeccompArg {
		return specs.LinuxSeccompArg{Index: 1, Op: op, Value: value, ValueTwo: two}
	}
	five := ours.Equal(1, 5)
	for _, tc := range []struct {
		name       string
		action     specs.LinuxSeccompAction // default
		entries    []specs.LinuxSyscall
		conditions []ours.Condition
		proven     bool
	}{
		{"default deny", specs.ActErrno, nil, nil, false},
		{"default allow", specs.ActAllow, nil, nil, true},
		{"default log", specs.ActLog, nil, nil, false},
		{"allowed", specs.ActErrno, []specs.LinuxSyscall{entry(specs.ActAllow)}, nil, true},
		{"logged", specs.ActErrno, []specs.LinuxSyscall{entry(specs.ActLog)}, nil, false},
		{"allowed and denied", specs.ActKill, []specs.LinuxSyscall{entry(specs.ActAllow), entry(specs.ActErrno)}, nil, false},
		{"denied although allowed by default", specs.ActAllow, []specs.LinuxSyscall{entry(specs.ActErrno)}, nil, false},
		{"denied in other cases", specs.ActAllow, []specs.LinuxSyscall{entry(specs.ActErrno, arg(specs.OpEqualTo, 6, 0))}, []ours.Condition{five}, true},
		{"denied in this case", specs.ActAllow, []specs.LinuxSyscall{entry(specs.ActErrno, arg(specs.OpEqualTo, 5, 0))}, []ours.Condition{five}, false},
		{"another argument is fixed", specs.ActErrno, []specs.LinuxSyscall{entry(specs.ActAllow, arg(specs.OpEqualTo, 5, 0))}, []ours.Condition{ours.Equal(0, 5)}, false},
		{"equal", specs.ActErrno, []specs.LinuxSyscall{entry(specs.ActAllow, arg(specs.OpEqualTo, 5, 0))}, []ours.Condition{five}, true},
		{"equal in 32 of 64 bits", specs.ActErrno, []specs.LinuxSyscall{entry(specs.ActAllow, arg(specs.OpEqualTo, 5, 0))}, []ours.Condition{ours.Equal32(1, 5)}, false},
		{"masked in those", specs.ActErrno, []specs.LinuxSyscall{entry(specs.ActAllow, arg(specs.OpMaskedEqual, 0xf, 5))}, []ours.Condition{ours.Equal32(1, 5)}, true},
		{"masked and not equal", specs.ActErrno, []specs.LinuxSyscall{entry(specs.ActAllow, arg(specs.OpMaskedEqual, 0xf, 4))}, []ours.Condition{five}, false},
		{"masked more than is known", specs.ActErrno, []specs.LinuxSyscall{entry(specs.ActAllow, arg(specs.OpMaskedEqual, 0x1f, 5))}, []ours.Condition{ours.Bits(1, 0xf, 5)}, false},
		{"masked without sense", specs.ActErrno, []specs.LinuxSyscall{entry(specs.ActAllow, arg(specs.OpMaskedEqual, 4, 5))}, []ours.Condition{five}, false},
		{"not equal", specs.ActErrno, []specs.LinuxSyscall{entry(specs.ActAllow, arg(specs.OpNotEqual, 4, 0))}, []ours.Condition{ours.Bits(1, 1, 1)}, true},
		{"perhaps equal", specs.ActErrno, []specs.LinuxSyscall{entry(specs.ActAllow, arg(specs.OpNotEqual, 5, 0))}, []ours.Condition{ours.Bits(1, 1, 1)}, false},
		{"less", specs.ActErrno, []specs.LinuxSyscall{entry(specs.ActAllow, arg(specs.OpLessThan, 6, 0))}, []ours.Condition{ours.Only(1, 5)}, true},
		{"perhaps less", specs.ActErrno, []specs.LinuxSyscall{entry(specs.ActAllow, arg(specs.OpLessThan, 5, 0))}, []ours.Condition{ours.Only(1, 5)}, false},
		{"less or equal", specs.ActErrno, []specs.LinuxSyscall{entry(specs.ActAllow, arg(specs.OpLessEqual, 5, 0))}, []ours.Condition{ours.Only(1, 5)}, true},
		{"greater", specs.ActErrno, []specs.LinuxSyscall{entry(specs.ActAllow, arg(specs.OpGreaterThan, 3, 0))}, []ours.Condition{ours.Bits(1, 4, 4)}, true},
		{"perhaps greater", specs.ActErrno, []specs.LinuxSyscall{entry(specs.ActAllow, arg(specs.OpGreaterThan, 4, 0))}, []ours.Condition{ours.Bits(1, 4, 4)}, false},
		{"greater or equal", specs.ActErrno, []specs.LinuxSyscall{entry(specs.ActAllow, arg(specs.OpGreaterEqual, 4, 0))}, []ours.Condition{ours.Bits(1, 4, 4)}, true},
		{"alternatives", specs.ActErrno, []specs.LinuxSyscall{entry(specs.ActAllow, arg(specs.OpEqualTo, 5, 0), arg(specs.OpEqualTo, 6, 0))}, []ours.Condition{five}, false},
		{"denied alternatives", specs.ActAllow, []specs.LinuxSyscall{entry(specs.ActErrno, arg(specs.OpEqualTo, 5, 0), arg(specs.OpEqualTo, 6, 0))}, []ours.Condition{five}, false},
		{"two conditions on one argument", specs.ActErrno, []specs.LinuxSyscall{entry(specs.ActAllow, arg(specs.OpEqualTo, 5, 0))}, []ours.Condition{ours.Bits(1, 0xff, 5), ours.Only(1, 0xff)}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			err := Covers(&specs.LinuxSeccomp{DefaultAction: tc.action, Syscalls: tc.entries}, policyOf(tc.conditions...))
			if (err == nil) != tc.proven {
				t.Errorf("proven: %v; %v", !tc.proven, err)
			}
			if err != nil && !strings.HasPrefix(err.Error(), read) {
				t.Errorf("the error does not name the call: %v", err)
			}
		})
	}
}

// TestDeniedCases are entries that deny some values of an argument which is 4 to 7
// in ours.
func TestDeniedCases(t *testing.T) {
	t.Parallel()
	ours := []ours.Condition{ours.Bits(1, ^uint64(3), 4)}
	for _, tc := range []struct {
		op         specs.LinuxSeccompOperator
		value, two uint64
		proven     bool
	}{
		{specs.OpEqualTo, 8, 0, true}, {specs.OpEqualTo, 7, 0, false},
		{specs.OpNotEqual, 8, 0, false}, {specs.OpNotEqual, 4, 0, false},
		{specs.OpLessThan, 4, 0, true}, {specs.OpLessThan, 5, 0, false},
		{specs.OpLessEqual, 3, 0, true}, {specs.OpLessEqual, 4, 0, false},
		{specs.OpGreaterEqual, 8, 0, true}, {specs.OpGreaterEqual, 7, 0, false},
		{specs.OpGreaterThan, 7, 0, true}, {specs.OpGreaterThan, 6, 0, false},
		{specs.OpMaskedEqual, 12, 8, true}, {specs.OpMaskedEqual, 12, 4, false},
		{specs.OpMaskedEqual, 3, 3, false}, {specs.OpMaskedEqual, 8, 12, true},
	} {
		p := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{
			entry(specs.ActErrno, specs.LinuxSeccompArg{Index: 1, Op: tc.op, Value: tc.value, ValueTwo: tc.two}),
		}}
		if err := Covers(p, policyOf(ours...)); (err == nil) != tc.proven {
			t.Errorf("%+v: %v", tc, err)
		}
	}
}

func TestWhatIsNotAllowedNeedsNoLeave(t *testing.T) {
	t.Parallel()
	p := policyOf()
	p.Fail(unix.SYS_WRITE, unix.EPERM)
	p.Rules = append(p.Rules, ours.Rule{Call: unix.SYS_REBOOT, Then: ours.Kill})
	if err := Covers(&specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{entry(specs.ActAllow)}}, p); err != nil {
		t.Error(err)
	}
	p.Rules[0].Then = unix.SECCOMP_RET_LOG // carried out, and so whatever is not known
	if err := Covers(&specs.LinuxSeccomp{DefaultAction: specs.ActErrno}, p); err == nil {
		t.Error("a call that is logged needs no leave")
	}
}

func TestProfilesThatNoFilterStandsInFor(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*specs.LinuxSeccomp){
		"listenerPath":  func(p *specs.LinuxSeccomp) { p.ListenerPath = "/run/listener" },
		"flags":         func(p *specs.LinuxSeccomp) { p.Flags = []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagLog} },
		"architectures": func(p *specs.LinuxSeccomp) { p.Architectures = []specs.Arch{"SCMP_ARCH_ABACUS"} },
		"defaultAction": func(p *specs.LinuxSeccomp) { p.DefaultAction = "SCMP_ACT_PLEASE" },
		"action":        func(p *specs.LinuxSeccomp) { p.Syscalls = []specs.LinuxSyscall{{Names: []string{"x"}}} },
		"argument":      func(p *specs.LinuxSeccomp) { p.Syscalls[0].Args[0].Index = 6 },
		"\"\"":          func(p *specs.LinuxSeccomp) { p.Syscalls[0].Args[0].Op = "" },
	} {
		p := &specs.LinuxSeccomp{
			DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchX86_64, specs.ArchX86},
			Flags: []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagSpecAllow},
			Syscalls: []specs.LinuxSyscall{{Names: []string{"x"}, Action: specs.ActErrno, Args: []specs.LinuxSeccompArg{
				{Op: specs.OpEqualTo},
			}}},
		}
		if err := Covers(p, policyOf()); err != nil {
			t.Fatal(err)
		}
		change(p)
		if err := Covers(p, policyOf()); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := Covers(nil, &ours.Policy{Otherwise: ours.Allow}); err != nil {
		t.Error(err)
	}
	if err := Covers(&specs.LinuxSeccomp{DefaultAction: specs.ActAllow}, &ours.Policy{Otherwise: ours.Allow}); err == nil {
		t.Error("a filter that allows everything was covered")
	}
	unnamed := policyOf()
	unnamed.Allow(unix.SYS_REBOOT)
	if err := Covers(&specs.LinuxSeccomp{DefaultAction: specs.ActAllow}, unnamed); err == nil {
		t.Error("a call without a name was covered")
	}
}
