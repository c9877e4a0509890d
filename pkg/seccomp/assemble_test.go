package seccomp

import (
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// decision is what the kernel would make of a program and a call.
func decision(t *testing.T, program []unix.SockFilter, arch, number uint32, args [6]uint64) Action {
	t.Helper()
	var data [64]byte
	binary.LittleEndian.PutUint32(data[offsetCall:], number)
	binary.LittleEndian.PutUint32(data[offsetArch:], arch)
	for i, arg := range args {
		binary.LittleEndian.PutUint64(data[offsetArgs+8*i:], arg)
	}
	var accumulator uint32
	for at := 0; at < len(program); at++ {
		i := program[at]
		yes := false
		switch i.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			accumulator = binary.LittleEndian.Uint32(data[i.K:])
			continue
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			accumulator &= i.K
			continue
		case unix.BPF_RET | unix.BPF_K:
			return Action(i.K)
		case unix.BPF_JMP | unix.BPF_JA:
			at += int(i.K)
			continue
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			yes = accumulator == i.K
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			yes = accumulator >= i.K
		default:
			t.Fatalf("instruction %d: %+v", at, i)
		}
		if yes {
			at += int(i.Jt)
		} else {
			at += int(i.Jf)
		}
	}
	t.Fatal("the program does not end")
	return 0
}

// first is the rule that decides, found by going through all of them.
func (p *Policy) first(number uint32, args [6]uint64) Action {
next:
	for _, r := range p.Rules {
		if uint32(r.Call) != number {
			continue
		}
		for _, c := range r.If {
			if args[c.Arg]&c.Mask != c.Value {
				continue next
			}
		}
		return r.Then
	}
	return p.Otherwise
}

// TestSearchFindsWhatTheFirstRuleSays for policies of all sizes, with several rules
// for a call and programs of more instructions than one condition can skip.
func TestSearchFindsWhatTheFirstRuleSays(t *testing.T) {
	t.Parallel()
	if !Supported() {
		t.Skip("no filters for this architecture")
	}
	arch := architectures[runtime.GOARCH]
	random := rand.New(rand.NewPCG(1, 2))
	for rules := range 60 {
		p := &Policy{Otherwise: Fail(unix.EPERM)}
		for i := range rules {
			r := Rule{Call: uintptr(random.IntN(40)), Then: Fail(unix.Errno(i + 100))}
			for range random.IntN(4) {
				r.If = append(r.If, Bits(random.IntN(6), 1|1<<40, random.Uint64()&(1|1<<40)))
			}
			p.Rules = append(p.Rules, r)
		}
		program, err := p.assemble()
		if err != nil {
			t.Fatal(err)
		}
		for number := range uint32(42) {
			for range 20 {
				var args [6]uint64
				for i := range args {
					args[i] = random.Uint64()
				}
				if got, want := decision(t, program, arch, number, args), p.first(number, args); got != want {
					t.Fatalf("%d rules, call %d, arguments %x: %#x instead of %#x", rules, number, args, got, want)
				}
			}
		}
		if got := decision(t, program, arch, x32Bit, [6]uint64{}); got != Kill {
			t.Errorf("a call of x32: %#x", got)
		}
		if got := decision(t, program, arch+1, 0, [6]uint64{}); got != Kill {
			t.Errorf("a call of another architecture: %#x", got)
		}
	}
}
