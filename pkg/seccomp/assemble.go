package seccomp

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"

	"golang.org/x/sys/unix"
)

// Offsets in struct seccomp_data (linux/seccomp.h), in bytes.
const (
	offsetCall = 0
	offsetArch = 4
	offsetArgs = 16
)

// maxInstructions is the kernel's limit for one program (BPF_MAXINSNS).
const maxInstructions = 4096

// x32Bit marks system calls of the x32 ABI, which has amd64's architecture.
const x32Bit = 0x40000000

// architectures as the kernel reports them. All of them are little endian, which
// decides where the halves of an argument are.
var architectures = map[string]uint32{
	"amd64":   unix.AUDIT_ARCH_X86_64,
	"arm64":   unix.AUDIT_ARCH_AARCH64,
	"riscv64": unix.AUDIT_ARCH_RISCV64,
}

// Supported tells whether policies can be loaded on this architecture.
func Supported() bool {
	_, ok := architectures[runtime.GOARCH]
	return ok
}

// assemble makes a program of classic BPF.
func (p *Policy) assemble() ([]unix.SockFilter, error) {
	arch, ok := architectures[runtime.GOARCH]
	if !ok {
		return nil, fmt.Errorf("no system call filter for the architecture %s", runtime.GOARCH)
	}
	program := []unix.SockFilter{
		load(offsetArch), equal(arch, 1, 0), decide(Kill),
		load(offsetCall), notBelow(x32Bit, 0, 1), decide(Kill),
	}
	calls, err := p.calls()
	if err != nil {
		return nil, err
	}
	program = append(program, search(calls, p.Otherwise)...)
	if len(program) > maxInstructions {
		return nil, fmt.Errorf("a system call filter of %d instructions; the kernel takes %d", len(program), maxInstructions)
	}
	return program, nil
}

// branch is what is to be done about one system call.
type branch struct {
	number uintptr
	code   []unix.SockFilter
}

// calls are the rules by the number of their call, in ascending order. Rules for
// the same call keep theirs; those for different ones have none.
func (p *Policy) calls() ([]branch, error) {
	var calls []branch
	for i := range p.Rules {
		rule := &p.Rules[i]
		code, err := rule.assemble()
		if err != nil {
			return nil, err
		}
		at, found := slices.BinarySearchFunc(calls, rule.Call, func(c branch, number uintptr) int { return cmp.Compare(c.number, number) })
		if !found {
			calls = slices.Insert(calls, at, branch{number: rule.Call})
		}
		calls[at].code = append(calls[at].code, code...)
	}
	return calls, nil
}

// search makes a binary search. The kernel runs a program for each call that there
// is when it is loaded, to know those that are always allowed; to go through all
// rules each time took longer than the rest of loading it.
func search(calls []branch, otherwise Action) []unix.SockFilter {
	const few = 2
	if len(calls) <= few {
		var program []unix.SockFilter
		for _, c := range calls {
			program = append(program, c.code...)
		}
		return append(program, decide(otherwise))
	}
	middle := len(calls) / 2
	lower, upper := search(calls[:middle], otherwise), search(calls[middle:], otherwise)
	// A condition cannot skip more than 255 instructions, a jump can.
	program := []unix.SockFilter{notBelow(uint32(calls[middle].number), 0, 1), jump(uint32(len(lower)))}
	return append(append(program, lower...), upper...)
}

// assemble finds the number of the call in the accumulator, and leaves it there
// if the rule does not apply.
func (r *Rule) assemble() ([]unix.SockFilter, error) {
	if len(r.If) == 0 {
		return []unix.SockFilter{equal(uint32(r.Call), 0, 1), decide(r.Then)}, nil
	}
	// Each condition takes three instructions for either half of its argument.
	const perHalf = 3
	length := 2*perHalf*len(r.If) + 1 + 1 // and the decision, and a last load
	if length > 255 {
		return nil, fmt.Errorf("system call %d: %d conditions are too many", r.Call, len(r.If))
	}
	block := []unix.SockFilter{equal(uint32(r.Call), 0, uint8(length))}
	for _, c := range r.If {
		if c.Arg < 0 || c.Arg > 5 || c.Value&^c.Mask != 0 {
			return nil, fmt.Errorf("system call %d: impossible condition %+v", r.Call, c)
		}
		for half := range 2 {
			shift := 32 * half
			// To the last load, across what remains of the conditions and the decision.
			rest := uint8(length - 1 - (len(block) - 1 + perHalf))
			block = append(block,
				load(uint32(offsetArgs+8*c.Arg+4*half)),
				and(uint32(c.Mask>>shift)),
				equal(uint32(c.Value>>shift), 0, rest))
		}
	}
	return append(block, decide(r.Then), load(offsetCall)), nil
}

func load(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

func and(mask uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: mask}
}

// equal skips yes or no instructions.
func equal(value uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: yes, Jf: no, K: value}
}

func notBelow(value uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, Jt: yes, Jf: no, K: value}
}

func jump(skip uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JA, K: skip}
}

func decide(a Action) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: uint32(a)}
}
