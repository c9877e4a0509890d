// Package profile proves that a filter of ours allows nothing that a seccomp
// profile of the OCI runtime spec denies. Then a process under our filter keeps to
// the profile without having it loaded.
//
// A profile means what runc and libseccomp make of it. Where that is not plain,
// or a proof would take more than a look at one entry after the other, there is no
// proof: the container is runc's.
package profile

import (
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/seccomp"
)

// Covers returns nil if the profile carries out every system call that ours does,
// with all its arguments. Otherwise the error names what is not proven. A nil
// profile denies nothing.
func Covers(profile *specs.LinuxSeccomp, ours *seccomp.Policy) error {
	if profile == nil {
		return nil
	}
	if err := check(profile); err != nil {
		return err
	}
	if allows(ours.Otherwise) {
		return errors.New("the filter allows calls that it does not name")
	}
	for i := range ours.Rules {
		rule := &ours.Rules[i]
		if !allows(rule.Then) {
			continue
		}
		// That an earlier rule may deny some of these calls does not help: to prove
		// more than is needed is safe.
		name, ok := names[rule.Call]
		if !ok {
			return fmt.Errorf("system call %d has no name here", rule.Call)
		}
		if err := allowsAll(profile, name, rule.If); err != nil {
			return err
		}
	}
	return nil
}

// allows tells whether a call is, or may be, carried out. What is not known here
// is.
func allows(a seccomp.Action) bool {
	const kind = 0xffff0000
	return a != seccomp.Kill && a&kind != seccomp.Fail(0)&kind
}

// allowsAll proves that the profile allows a call whenever the conditions hold.
func allowsAll(profile *specs.LinuxSeccomp, name string, conditions []seccomp.Condition) error {
	allowed := profile.DefaultAction == specs.ActAllow
	for i := range profile.Syscalls {
		e := &profile.Syscalls[i]
		if !slices.Contains(e.Names, name) {
			continue
		}
		if e.Action == specs.ActAllow {
			allowed = allowed || always(e, conditions)
			continue
		}
		// Which of two entries that apply counts depends on their order, their
		// arguments and libseccomp's version. Also SCMP_ACT_LOG is not plain leave:
		// somebody wants to read about it.
		if !never(e, conditions) {
			return fmt.Errorf("%s: the profile has %s for it, %s", call(name, conditions), e.Action, when(e))
		}
	}
	if !allowed {
		return fmt.Errorf("%s: the profile does not allow it in all cases, its default is %s", call(name, conditions), profile.DefaultAction)
	}
	return nil
}

// call describes a call for people.
func call(name string, conditions []seccomp.Condition) string {
	if len(conditions) == 0 {
		return name
	}
	s := name + " with"
	for i, c := range conditions {
		if i > 0 {
			s += " and"
		}
		s += fmt.Sprintf(" argument %d & %#x = %#x", c.Arg, c.Mask, c.Value)
	}
	return s
}

func when(e *specs.LinuxSyscall) string {
	if len(e.Args) == 0 {
		return "always"
	}
	return "depending on its arguments"
}
