package seccomp

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A filter is for ever, so each test has a process of its own: this binary
// again, which runs the named function. What it returns goes to stderr.
const childEnv = "SECCOMP_TEST_CHILD"

func TestMain(m *testing.M) {
	name := os.Getenv(childEnv)
	if name == "" {
		os.Exit(m.Run())
	}
	if err := children[name](); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

var children = map[string]func() error{
	"rules":      rules,
	"conditions": conditions,
	"threads":    threads,
	"kill":       kill,
	"x32":        x32,
	"older":      older,
}

func child(t *testing.T, name string) (*os.ProcessState, string) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childEnv+"="+name)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState, string(out)
}

func TestFilterDoesWhatItsPolicySays(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"rules", "conditions", "threads", "older"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if state, out := child(t, name); !state.Success() {
				t.Errorf("%v: %s", state, out)
			}
		})
	}
}

func TestForbiddenCallEndsTheProcess(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"kill", "x32"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "x32" && runtime.GOARCH != "amd64" {
				t.Skip("an ABI of amd64")
			}
			state, out := child(t, name)
			if ws := state.Sys().(syscall.WaitStatus); !ws.Signaled() || ws.Signal() != unix.SIGSYS {
				t.Errorf("%v: %s", state, out)
			}
		})
	}
}

// call makes a system call that does nothing, as far as the kernel comes to it.
func call(trap uintptr, args ...uintptr) error {
	args = append(args, 0, 0, 0)
	if _, _, errno := unix.RawSyscall(trap, args[0], args[1], args[2]); errno != 0 {
		return errno
	}
	return nil
}

func expect(what string, got error, want error) error {
	if !errors.Is(got, want) {
		return fmt.Errorf("%s: %v instead of %v", what, got, want)
	}
	return nil
}

func rules() error {
	p := Policy{Otherwise: Allow, Rules: []Rule{
		{Call: unix.SYS_GETPGID, Then: Fail(unix.EDOM)},
		{Call: unix.SYS_GETPGID, Then: Kill}, // too late
		{Call: unix.SYS_GETSID, Then: Allow},
	}}
	if err := p.Load(); err != nil {
		return err
	}
	return errors.Join(
		expect("first rule", call(unix.SYS_GETPGID), unix.EDOM),
		expect("allowed", call(unix.SYS_GETSID), nil),
		expect("not named", call(unix.SYS_GETPPID), nil),
	)
}

func conditions() error {
	const high = 1 << 40
	p := Policy{Otherwise: Allow, Rules: []Rule{
		{Call: unix.SYS_GETPGID, If: []Condition{Equal(0, high|5), {Arg: 2, Mask: high | 6, Value: high | 2}}, Then: Fail(unix.EDOM)},
		{Call: unix.SYS_GETPGID, If: []Condition{Equal32(1, 7)}, Then: Fail(unix.EXDEV)},
		{Call: unix.SYS_GETPGID, If: []Condition{Equal(5, 0)}, Then: Fail(unix.ENOTTY)},
	}}
	if err := p.Load(); err != nil {
		return err
	}
	var all []error
	for _, tc := range []struct {
		args [3]uintptr
		want error
	}{
		{[3]uintptr{high | 5, 0, high | 2}, unix.EDOM},
		{[3]uintptr{high | 5, 7, high | 3 | 1<<20}, unix.EDOM}, // bits that are not in the mask
		{[3]uintptr{5, 7, high | 2}, unix.EXDEV},               // the upper half differs
		{[3]uintptr{high | 4, 7, high | 2}, unix.EXDEV},        // the lower half
		{[3]uintptr{high | 5, 7, 2}, unix.EXDEV},               // the upper half of the second
		{[3]uintptr{high | 5, 7, high | 6}, unix.EXDEV},        // a bit of the mask
		{[3]uintptr{0, high | 7, 0}, unix.EXDEV},               // 32 bits count
		{[3]uintptr{0, 8, 0}, unix.ENOTTY},                     // the accumulator still holds the number
	} {
		all = append(all, expect(fmt.Sprintf("%x", tc.args), call(unix.SYS_GETPGID, tc.args[:]...), tc.want))
	}
	return errors.Join(append(all, expect("another call", call(unix.SYS_GETSID), nil))...)
}

// threads checks one that was there before, one that comes later, and a process.
func threads() error {
	ask, answers := make(chan bool), make(chan error)
	thread := func() {
		runtime.LockOSThread()
		<-ask
		answers <- call(unix.SYS_GETPGID)
	}
	go thread()
	p := Policy{Otherwise: Allow, Rules: []Rule{{Call: unix.SYS_GETPGID, Then: Fail(unix.EDOM)}}}
	if err := p.Load(); err != nil {
		return err
	}
	go thread()
	for range 2 {
		ask <- true
		if err := expect("thread", <-answers, unix.EDOM); err != nil {
			return err
		}
	}
	out, err := exec.Command("grep", "-h", "^NoNewPrivs\\|^Seccomp:", "/proc/self/status").CombinedOutput()
	if got := strings.Join(strings.Fields(string(out)), " "); err != nil || got != "NoNewPrivs: 1 Seccomp: 2" {
		return fmt.Errorf("of a child: %q, %w", got, err)
	}
	return nil
}

func kill() error {
	p := Policy{Otherwise: Allow, Rules: []Rule{{Call: unix.SYS_GETPGID, Then: Kill}}}
	if err := p.Load(); err != nil {
		return err
	}
	return fmt.Errorf("it went on: %w", call(unix.SYS_GETPGID))
}

func x32() error {
	p := Policy{Otherwise: Allow}
	if err := p.Load(); err != nil {
		return err
	}
	return fmt.Errorf("it went on: %w", call(x32Bit|unix.SYS_GETPID))
}

// older filters stay in force.
func older() error {
	for _, p := range []Policy{
		{Otherwise: Allow, Rules: []Rule{{Call: unix.SYS_GETPGID, Then: Fail(unix.EDOM)}}},
		{Otherwise: Allow, Rules: []Rule{{Call: unix.SYS_GETSID, Then: Fail(unix.EXDEV)}}},
	} {
		if err := p.Load(); err != nil {
			return err
		}
	}
	return errors.Join(expect("older", call(unix.SYS_GETPGID), unix.EDOM), expect("newer", call(unix.SYS_GETSID), unix.EXDEV))
}

func TestImpossiblePoliciesAreErrors(t *testing.T) {
	t.Parallel()
	many := make([]Rule, maxInstructions)
	for name, p := range map[string]Policy{
		"argument":   {Rules: []Rule{{If: []Condition{Equal(6, 0)}}}},
		"negative":   {Rules: []Rule{{If: []Condition{Equal(-1, 0)}}}},
		"never":      {Rules: []Rule{{If: []Condition{{Mask: 1, Value: 2}}}}},
		"conditions": {Rules: []Rule{{If: make([]Condition, 50)}}},
		"rules":      {Rules: many},
	} {
		if err := p.Load(); err == nil {
			t.Errorf("%s: this process is bound now", name)
		}
	}
}
