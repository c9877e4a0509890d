package seccomp

import "golang.org/x/sys/unix"

// Allow appends a rule that carries a call out if all conditions hold.
func (p *Policy) Allow(call uintptr, conditions ...Condition) {
	p.Rules = append(p.Rules, Rule{Call: call, If: conditions, Then: Allow})
}

// Fail appends a rule that makes a call fail with errno if all conditions hold.
func (p *Policy) Fail(call uintptr, errno unix.Errno, conditions ...Condition) {
	p.Rules = append(p.Rules, Rule{Call: call, If: conditions, Then: Fail(errno)})
}

// Bits is the condition that of an argument's bits those of mask have a certain
// value.
func Bits(arg int, mask, value uint64) Condition {
	return Condition{Arg: arg, Mask: mask, Value: value}
}

// Only is the condition that an argument has no other bits than some.
func Only(arg int, allowed uint64) Condition {
	return Condition{Arg: arg, Mask: ^allowed, Value: 0}
}
