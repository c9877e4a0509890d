package cell_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/console"
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/runner/cell"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/seccomp"
)

// inmate is a process that goes into the cell, without cgo as the shim is, and
// module the guest everything.c.
var inmate, module string

// networker is the guest sockets.c.
var networker string

func TestMain(m *testing.M) {
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "cell-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	inmate, module, networker = filepath.Join(dir, "inmate"), filepath.Join(dir, "everything.wasm"), filepath.Join(dir, "sockets.wasm")
	for _, args := range [][]string{
		{"go", "build", "-trimpath", "-o", inmate, "./testdata/inmate"},
		{"clang-14", "--target=wasm32-wasi", "--sysroot=/usr", "-O1", "-Wall", "-o", module, "testdata/everything.c"},
		{"clang-14", "--target=wasm32-wasi", "--sysroot=/usr", "-O1", "-Wall", "-o", networker, "testdata/sockets.c"},
	} {
		build := exec.Command(args[0], args[1:]...)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%v: %v\n%s", args, err, out)
			return 1
		}
	}
	return m.Run()
}

// outcome is how an inmate ended. The status is 128+n after signal n.
type outcome struct {
	status         int
	stdout, stderr string
}

// variable tells the inmate what its cell allows with sockets.
func variable(s cell.Sockets) string { return fmt.Sprintf("SOCKETS=%d", s) }

// allRules is the argument for a filter with all its rules.
const allRules = -1

// run lets the guest do what args say; a guest that waits for it gets two bytes at
// stdin.
func run(t *testing.T, limit time.Duration, rule int, args ...string) outcome {
	t.Helper()
	return runModule(t, limit, cell.NoSockets, module, rule, args...)
}

func runModule(t *testing.T, limit time.Duration, s cell.Sockets, module string, rule int, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, inmate, append([]string{module, t.TempDir(), fmt.Sprint(rule)}, args...)...)
	cmd.Env = append(os.Environ(), variable(s))
	var stdout, stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	must(t, err)
	pipe, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	lines := bufio.NewScanner(io.TeeReader(pipe, &stdout))
	for lines.Scan() {
		if lines.Text() == "waiting" {
			_, _ = stdin.Write([]byte("xy"))
		}
	}
	return outcome{status(cmd), stdout.String(), stderr.String()}
}

func status(cmd *exec.Cmd) int {
	_ = cmd.Wait()
	ws := cmd.ProcessState.Sys().(interface {
		Signaled() bool
		ExitStatus() int
	})
	if ws.Signaled() {
		return 128
	}
	return ws.ExitStatus()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// enough is much longer than anything here takes.
const enough = 2 * time.Minute

func TestGuestCanDoEverythingInTheCell(t *testing.T) {
	t.Parallel()
	if got := run(t, enough, allRules); got.status != 0 || got.stdout != "waiting\ndone\n" {
		t.Errorf("%+v", got)
	}
}

func TestGuestsEndAsUsualInTheCell(t *testing.T) {
	t.Parallel()
	for what, want := range map[string]outcome{
		"exit":   {status: 7},
		"trap":   {status: 134, stderr: "wasm stack trace"},
		"greedy": {status: 137},
		// A fault of the runner itself.
		"crash": {status: 2, stderr: "goroutine "},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			got := run(t, enough, allRules, what)
			if got.status != want.status || !strings.Contains(got.stderr, want.stderr) {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestClosedStdoutIsAnErrorOfTheGuestsWrite(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	must(t, err)
	must(t, r.Close())
	defer w.Close()
	cmd := exec.Command(inmate, module, t.TempDir(), "-1", "pipe")
	cmd.Stdout, cmd.Stderr = w, os.Stderr
	must(t, cmd.Start())
	const epipe = 64
	if got := status(cmd); got != epipe {
		t.Errorf("status %d", got)
	}
}

func TestGuestHasATerminalInTheCell(t *testing.T) {
	t.Parallel()
	terminal, path, err := console.NewPty()
	must(t, err)
	defer terminal.Close()
	tty, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	defer tty.Close()
	cmd := exec.Command(inmate, module, t.TempDir(), "-1", "terminal")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, os.Stderr
	must(t, cmd.Start())
	if got := status(cmd); got != 11 {
		t.Errorf("status %d", got)
	}
}

// alone runs one of the inmate's own programs.
func alone(t *testing.T, what string, s cell.Sockets) {
	t.Helper()
	cmd := exec.Command(inmate, what, t.TempDir())
	cmd.Env = append(os.Environ(), variable(s))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestNothingElseIsAllowed(t *testing.T) {
	t.Parallel()
	for s := cell.NoSockets; s <= cell.OpenSockets; s++ {
		t.Run(fmt.Sprint(s), func(t *testing.T) {
			t.Parallel()
			alone(t, "calls", s)
		})
	}
}

func TestLandlockDeniesWhatNoGuestDoes(t *testing.T) {
	t.Parallel()
	alone(t, "walls", cell.NoSockets)
}

// spare are calls without which the test's guest gets through, and why they are
// allowed nevertheless.
var spare = map[uintptr]string{
	unix.SYS_NANOSLEEP:       "without it, the Go runtime would wait busily",
	unix.SYS_SCHED_YIELD:     "without it, the Go runtime would wait busily",
	unix.SYS_CLOCK_GETTIME:   "the vDSO tells the time, but not on machines with another clock source",
	unix.SYS_RESTART_SYSCALL: "the kernel makes this call, after SIGSTOP and SIGCONT",
	unix.SYS_MUNMAP:          "without it, memory would never be given back",
	unix.SYS_MADVISE:         "without it, memory would be given back late, or be in larger pages",
}

// reason tells why a rule is there though it is not needed here, if so.
func reason(rules []seccomp.Rule, i int) string {
	switch r := rules[i]; {
	case r.Then != seccomp.Allow:
		return "it allows nothing, but gives the Go runtime an answer that it understands"
	case r.Call == unix.SYS_FUTEX && i == 0:
		return "without it, the Go runtime would wait busily"
	default:
		return spare[r.Call]
	}
}

// TestEveryRuleIsNeeded takes out one after the other, and expects that something
// does not work any more.
func TestEveryRuleIsNeeded(t *testing.T) {
	t.Parallel()
	rules := cell.Policy(1, cell.NoSockets).Rules
	for i, rule := range rules {
		t.Run(fmt.Sprintf("%d-call-%d", i, rule.Call), func(t *testing.T) {
			t.Parallel()
			reason, limit := reason(rules, i), 5*time.Second // some make it hang
			if reason != "" {
				limit = enough
			}
			got := run(t, limit, i)
			needed := got.status != 0 || got.stdout != "waiting\ndone\n"
			if needed == (reason != "") {
				t.Errorf("needed: %v (%s); %+v", needed, reason, got)
			}
		})
	}
}

func TestGuestCanDoEverythingWithSocketsInTheCell(t *testing.T) {
	t.Parallel()
	if got := runModule(t, enough, cell.OpenSockets, networker, allRules, "sockets"); got.status != 0 || got.stdout != "done\n" {
		t.Errorf("%+v", got)
	}
	for s := cell.NoSockets; s < cell.OpenSockets; s++ {
		if got := runModule(t, enough, s, networker, allRules, "sockets"); got.status == 0 {
			t.Errorf("with %d: %+v", s, got)
		}
	}
}

// TestEveryRuleForSocketsIsNeeded is TestEveryRuleIsNeeded for those.
func TestEveryRuleForSocketsIsNeeded(t *testing.T) {
	t.Parallel()
	rules := cell.Policy(1, cell.OpenSockets).Rules
	for i := len(cell.Policy(1, cell.NoSockets).Rules); i < len(rules); i++ {
		t.Run(fmt.Sprintf("%d-call-%d", i, rules[i].Call), func(t *testing.T) {
			t.Parallel()
			if got := runModule(t, enough, cell.OpenSockets, networker, i, "sockets"); got.status == 0 {
				t.Errorf("%+v", got)
			}
		})
	}
}
