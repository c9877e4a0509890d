package profile

import (
	"math/rand"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	ours "github.com/containerd-wazero/containerd-shim-wazero/pkg/seccomp"
)

// FuzzCoversIsSound compares the verdict with what both filters do with calls: if
// ours is covered, there is no call that it allows and the profile does not.
func FuzzCoversIsSound(f *testing.F) {
	for seed := range int64(200) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed int64) {
		r := generator{rand.New(rand.NewSource(seed))}
		profile, policy := r.profile(), r.policy()
		verdict := Covers(profile, policy)
		if verdict != nil {
			return
		}
		for range 300 {
			number, name, args := r.call(policy)
			if decision(policy, number, args) == ours.Allow && !allowedByProfile(profile, name, args) {
				t.Fatalf("%s%x is allowed by %+v, but not by %+v", name, args, policy, profile)
			}
		}
	})
}

// TestFuzzingIsNotIdle makes sure that random profiles are often enough covered.
func TestFuzzingIsNotIdle(t *testing.T) {
	t.Parallel()
	var proven, conditions int
	for seed := range int64(2000) {
		r := generator{rand.New(rand.NewSource(seed))}
		profile, policy := r.profile(), r.policy()
		if Covers(profile, policy) == nil {
			proven++
			for _, rule := range policy.Rules {
				conditions += len(rule.If)
			}
		}
	}
	if proven < 100 || conditions < 100 {
		t.Errorf("%d of 2000 are proven, with %d conditions", proven, conditions)
	}
}

// few calls and few values, so that they meet.
var fuzzCalls = []struct {
	number uintptr
	name   string
}{{unix.SYS_READ, "read"}, {unix.SYS_WRITE, "write"}, {unix.SYS_CLONE, "clone"}}

type generator struct{ *rand.Rand }

func (r generator) value() uint64 {
	v := uint64(r.Intn(8))
	if r.Intn(4) == 0 {
		v <<= 32
	}
	if r.Intn(8) == 0 {
		v = ^v
	}
	return v
}

func pick[T any](r generator, list ...T) T { return list[r.Intn(len(list))] }

func (r generator) profile() *specs.LinuxSeccomp {
	p := &specs.LinuxSeccomp{DefaultAction: pick(r, specs.ActErrno, specs.ActAllow, specs.ActKill)}
	for range r.Intn(5) {
		e := specs.LinuxSyscall{Action: pick(r, specs.ActAllow, specs.ActAllow, specs.ActErrno, specs.ActLog)}
		for _, c := range fuzzCalls {
			if r.Intn(2) == 0 {
				e.Names = append(e.Names, c.name)
			}
		}
		for range r.Intn(3) {
			e.Args = append(e.Args, specs.LinuxSeccompArg{
				Index: uint(r.Intn(2)), Value: r.value(), ValueTwo: r.value(),
				Op: pick(r, specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpEqualTo, specs.OpGreaterEqual, specs.OpGreaterThan, specs.OpMaskedEqual),
			})
		}
		p.Syscalls = append(p.Syscalls, e)
	}
	return p
}

func (r generator) policy() *ours.Policy {
	p := &ours.Policy{Otherwise: ours.Fail(unix.EPERM)}
	for range 1 + r.Intn(2) {
		rule := ours.Rule{Call: pick(r, fuzzCalls...).number, Then: pick(r, ours.Allow, ours.Allow, ours.Allow, ours.Kill)}
		for range r.Intn(3) {
			mask := pick(r, ^uint64(0), 0xffffffff, r.value(), ^r.value())
			rule.If = append(rule.If, ours.Condition{Arg: r.Intn(2), Mask: mask, Value: r.value() & mask})
		}
		p.Rules = append(p.Rules, rule)
	}
	return p
}

// call tends to satisfy the conditions of a rule.
func (r generator) call(p *ours.Policy) (number uintptr, name string, args [6]uint64) {
	rule := pick(r, p.Rules...)
	for i := range args {
		args[i] = r.value()
	}
	for _, c := range rule.If {
		args[c.Arg] = args[c.Arg]&^c.Mask | c.Value
	}
	return rule.Call, names[rule.Call], args
}

func decision(p *ours.Policy, number uintptr, args [6]uint64) ours.Action {
	for _, rule := range p.Rules {
		applies := rule.Call == number
		for _, c := range rule.If {
			applies = applies && args[c.Arg]&c.Mask == c.Value
		}
		if applies {
			return rule.Then
		}
	}
	return p.Otherwise
}

// allowedByProfile takes the profile at its worst: arguments that are named twice
// are together or alternatives, masked values count outside their mask or not, and
// whatever denies, denies.
func allowedByProfile(p *specs.LinuxSeccomp, name string, args [6]uint64) bool {
	allowed := p.DefaultAction == specs.ActAllow
	for _, e := range p.Syscalls {
		for _, n := range e.Names {
			if n != name {
				continue
			}
			surely, perhaps := applies(e.Args, args)
			if e.Action == specs.ActAllow {
				allowed = allowed || surely
			} else if perhaps {
				return false
			}
		}
	}
	return allowed
}

func applies(list []specs.LinuxSeccompArg, args [6]uint64) (surely, perhaps bool) {
	all, alsoAny := true, false
	allMasked, anyMasked := true, false
	for _, a := range list {
		all, alsoAny = all && fits(a, args[a.Index], a.ValueTwo), alsoAny || fits(a, args[a.Index], a.ValueTwo)
		masked := fits(a, args[a.Index], a.ValueTwo&a.Value)
		allMasked, anyMasked = allMasked && masked, anyMasked || masked
	}
	if len(list) < 2 || list[0].Index != list[1].Index {
		return all && allMasked, all || allMasked
	}
	return all && alsoAny && allMasked && anyMasked, all || alsoAny || allMasked || anyMasked
}

func fits(a specs.LinuxSeccompArg, v, two uint64) bool {
	switch a.Op {
	case specs.OpNotEqual:
		return v != a.Value
	case specs.OpLessThan:
		return v < a.Value
	case specs.OpLessEqual:
		return v <= a.Value
	case specs.OpEqualTo:
		return v == a.Value
	case specs.OpGreaterEqual:
		return v >= a.Value
	case specs.OpGreaterThan:
		return v > a.Value
	default:
		return v&a.Value == two
	}
}
