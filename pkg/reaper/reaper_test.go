package reaper_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/go-runc"
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/reaper"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/timerslack"
)

// A Reaper takes every child of its process, so each test has a process of its
// own: this binary again, which runs the named function.
const childEnv = "REAPER_TEST_CHILD"

func TestMain(m *testing.M) {
	name := os.Getenv(childEnv)
	if name == "" {
		os.Exit(m.Run())
	}
	_ = os.Unsetenv(childEnv)
	if err := children()[name](); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func children() map[string]func() error {
	return map[string]func() error{
		"statuses of commands":                   statuses,
		"output is complete":                     output,
		"adopted process is claimed and ends":    adoptedLater,
		"adopted process ends before it is ours": adoptedEarlier,
		"strangers are forgotten":                strangers,
		"orphans are reaped":                     orphans,
		"commands that end at once":              fast,
		"go-runc's commands":                     monitor,
		"nothing stays open":                     descriptors,
		"commands sleep as exactly as others":    exact,
		"commands outlive the threads of others": tied,
	}
}

func TestReaper(t *testing.T) {
	t.Parallel()
	for name := range children() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, os.Args[0])
			cmd.Env = append(os.Environ(), childEnv+"="+name)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

// patience for what takes milliseconds.
const patience = 20 * time.Second

func run() (*reaper.Reaper, error) {
	r := reaper.New()
	return r, r.Run(context.Background())
}

func await(exits <-chan reaper.Exit) (reaper.Exit, error) {
	select {
	case e := <-exits:
		return e, nil
	case <-time.After(patience):
		return reaper.Exit{}, errors.New("no exit arrived")
	}
}

func statuses() error {
	r, err := run()
	if err != nil {
		return err
	}
	for script, want := range map[string]reaper.Exit{
		"exit 0":        {},
		"exit 3":        {Status: 3},
		"exit 255":      {Status: 255},
		"kill -TERM $$": {Status: 143, Signal: unix.SIGTERM},
		"kill -KILL $$": {Status: 137, Signal: unix.SIGKILL},
	} {
		c := exec.Command("sh", "-c", script)
		before := time.Now()
		exits, err := r.StartCommand(c)
		if err != nil {
			return err
		}
		e, err := await(exits)
		if err != nil {
			return fmt.Errorf("%s: %w", script, err)
		}
		if e.Status != want.Status || e.Signal != want.Signal || e.Pid != c.Process.Pid || e.At.Before(before) {
			return fmt.Errorf("%s: got %+v, want %+v", script, e, want)
		}
	}
	if _, err := r.StartCommand(exec.Command("/no/such/program")); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("start of a missing program: %v", err)
	}
	return nil
}

// exact starts a command on a thread that sleeps as coarsely as those of the shim.
func exact() error {
	r, err := run()
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := timerslack.Set(timerslack.Coarse); err != nil {
		return err
	}
	var out bytes.Buffer
	c := exec.Command("cat", "/proc/self/timerslack_ns")
	c.Stdout = &out
	exits, err := r.StartCommand(c)
	if err != nil {
		return err
	}
	if _, err := await(exits); err != nil {
		return err
	}
	reaper.Flush(c)
	if theirs := strings.TrimSpace(out.String()); theirs != fmt.Sprint(uintptr(timerslack.Default)) {
		return fmt.Errorf("the command's slack is %s ns", theirs)
	}
	if ours, err := timerslack.Get(); err != nil || ours != timerslack.Coarse {
		return fmt.Errorf("this thread's slack is %d ns, %v", ours, err)
	}
	return nil
}

func output() error {
	r, err := run()
	if err != nil {
		return err
	}
	var out bytes.Buffer
	c := exec.Command("sh", "-c", "yes 0123456789 | head -n 200000; exit 4")
	c.Stdout = &out
	exits, err := r.StartCommand(c)
	if err != nil {
		return err
	}
	e, err := await(exits)
	if err != nil {
		return err
	}
	reaper.Flush(c)
	if e.Status != 4 || out.Len() != 200000*11 {
		return fmt.Errorf("status %d, %d bytes", e.Status, out.Len())
	}
	return nil
}

// leaveBehind runs a command that ends and leaves a process to us, whose script
// is given. It returns that process's pid, when the command has ended; the
// script begins only then, or the command's shell might reap it.
func leaveBehind(r *reaper.Reaper, script string) (int, error) {
	script = "while kill -0 $1 2>/dev/null; do sleep 0.01; done; " + script
	c := exec.Command("sh", "-c", `sh -c "$1" sh $$ & echo $!`, "sh", script)
	pipe, err := c.StdoutPipe()
	if err != nil {
		return 0, err
	}
	exits, err := r.StartCommand(c)
	if err != nil {
		return 0, err
	}
	line, err := bufio.NewReader(pipe).ReadString('\n')
	if err != nil {
		return 0, err
	}
	if _, err := await(exits); err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(line))
}

func adoptedLater() error {
	r, err := run()
	if err != nil {
		return err
	}
	a := r.Adopt()
	defer a.Done()
	pid, err := leaveBehind(r, "exec sleep 60")
	if err != nil {
		return err
	}
	exits := a.Claim(pid)
	a.Done() // the claim lasts
	select {
	case e := <-exits:
		return fmt.Errorf("it has ended: %+v", e)
	case <-time.After(50 * time.Millisecond):
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		return err
	}
	e, err := await(exits)
	if err == nil && (e.Pid != pid || e.Status != 137) {
		err = fmt.Errorf("got %+v", e)
	}
	return err
}

func adoptedEarlier() error {
	r, err := run()
	if err != nil {
		return err
	}
	a := r.Adopt()
	defer a.Done()
	pid, err := leaveBehind(r, "exit 9")
	if err != nil {
		return err
	}
	if err := awaitReaped(pid); err != nil {
		return err
	}
	e, err := await(a.Claim(pid))
	if err == nil && (e.Pid != pid || e.Status != 9) {
		err = fmt.Errorf("got %+v", e)
	}
	return err
}

// awaitReaped waits until the process is not even a zombie.
func awaitReaped(pid int) error {
	for deadline := time.Now().Add(patience); !errors.Is(unix.Kill(pid, 0), unix.ESRCH); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("process %d is still there", pid)
		}
	}
	return nil
}

// An exit that nobody claims must not be taken for that of a later process with
// the same pid.
func strangers() error {
	r, err := run()
	if err != nil {
		return err
	}
	outer, inner := r.Adopt(), r.Adopt()
	pid, err := leaveBehind(r, "exit 9")
	if err != nil {
		return err
	}
	if err := awaitReaped(pid); err != nil {
		return err
	}
	inner.Done()
	inner.Done() // no effect
	outer.Done()
	a := r.Adopt()
	defer a.Done()
	select {
	case e := <-a.Claim(pid):
		return fmt.Errorf("an exit of the past: %+v", e)
	case <-time.After(50 * time.Millisecond):
		return nil
	}
}

func orphans() error {
	r, err := run()
	if err != nil {
		return err
	}
	for range 20 {
		pid, err := leaveBehind(r, "exit 1")
		if err != nil {
			return err
		}
		if err := awaitReaped(pid); err != nil {
			return err
		}
	}
	return nil
}

func fast() error {
	r, err := run()
	if err != nil {
		return err
	}
	const rounds, width = 10, 20
	for range rounds {
		var all []<-chan reaper.Exit
		for i := range width {
			exits, err := r.StartCommand(exec.Command("sh", "-c", "exit "+strconv.Itoa(i)))
			if err != nil {
				return err
			}
			all = append(all, exits)
		}
		for i, exits := range all {
			if e, err := await(exits); err != nil || e.Status != uint32(i) {
				return fmt.Errorf("status %d, want %d (%w)", e.Status, i, err)
			}
		}
	}
	return nil
}

func monitor() error {
	r, err := run()
	if err != nil {
		return err
	}
	m := r.Monitor()
	c := exec.Command("sh", "-c", "echo out; echo err >&2; exit 6")
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	exits, err := m.Start(c)
	if err != nil {
		return err
	}
	status, err := m.Wait(c, exits)
	if err != nil || status != 6 || out.String() != "out\nerr\n" {
		return fmt.Errorf("status %d, output %q (%v)", status, out.String(), err)
	}
	if _, err := m.Start(exec.Command("/no/such/program")); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("start of a missing program: %v", err)
	}
	var _ runc.ProcessMonitor = m
	return nil
}

// descriptors counts what os/exec would give back in Wait.
func descriptors() error {
	r, err := run()
	if err != nil {
		return err
	}
	once := func() error {
		c := exec.Command("sh", "-c", "echo hello")
		c.Stdout = &bytes.Buffer{}
		exits, err := r.StartCommand(c)
		if err != nil {
			return err
		}
		_, err = await(exits)
		reaper.Flush(c)
		return err
	}
	if err := once(); err != nil {
		return err
	}
	before, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for range 10 {
		if err := once(); err != nil {
			return err
		}
	}
	after, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	if len(after) > len(before) {
		return fmt.Errorf("%d descriptors before, %d after", len(before), len(after))
	}
	return nil
}

// tied starts commands that end with this process, each before threads end on which anything
// may have run.
func tied() error {
	r, err := run()
	if err != nil {
		return err
	}
	for range 20 {
		c := exec.Command("sleep", "60")
		c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
		exits, err := r.StartCommand(c)
		if err != nil {
			return err
		}
		for range 5 {
			over := make(chan struct{})
			go func() {
				defer close(over)
				runtime.LockOSThread() // without an unlock, the thread ends with the function
			}()
			<-over
		}
		select {
		case e := <-exits:
			return fmt.Errorf("it ended by signal %d", e.Signal)
		case <-time.After(10 * time.Millisecond):
		}
		if err := c.Process.Kill(); err != nil {
			return err
		}
		if e := <-exits; e.Signal != unix.SIGKILL {
			return fmt.Errorf("its end is %+v", e)
		}
		reaper.Flush(c)
	}
	return nil
}
