package shim

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	tasktypes "github.com/containerd/containerd/api/types/task"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// TestSignalsEndAGuestAtOnce: WASI has no signals, so a guest has their default
// actions, whatever it is doing.
func TestSignalsEndAGuestAtOnce(t *testing.T) {
	eachVersion(t, func(t *testing.T, d *daemon) {
		pod := d.container("pod", multiWasm, "sleep").created()
		for _, tc := range []struct {
			signal syscall.Signal
			guest  string
		}{
			{syscall.SIGTERM, "spin"}, {syscall.SIGTERM, "sleep"}, {syscall.SIGTERM, "cat"},
			{syscall.SIGINT, "spin"}, {syscall.SIGHUP, "sleep"}, {syscall.SIGUSR1, "cat"}, {syscall.SIGKILL, "spin"},
			{syscall.SIGABRT, "sleep"}, {64, "sleep"},
		} {
			t.Run(fmt.Sprintf("%d/%s", tc.signal, tc.guest), func(t *testing.T) {
				c := d.containerFor(t, fmt.Sprintf("c%d%s", tc.signal, tc.guest), multiWasm, tc.guest).joins(pod.id)
				out := c.withOutput()
				c.stdin = c.stdinFIFO("init")
				c.run()
				switch tc.guest { // it says when it is there
				case "spin":
					out.stdout.WaitFor(t, "spinning")
				case "sleep":
					out.stdout.WaitFor(t, "sleeping")
				}
				c.execRun("e", stdio{stdin: c.stdinFIFO("e")}, multiWasm, tc.guest)
				want := 128 + uint32(tc.signal)
				for _, id := range []string{"e", ""} {
					atOnce(t, "end", 5*time.Second, func() {
						must(t, c.kill(id, tc.signal))
						if status := c.exitStatus(id); status != want {
							t.Errorf("exit status of %q is %d, want %d", id, status, want)
						}
					})
				}
				d.events.await(t, c.id, "create", "start", "exec-added e", "exec-started e",
					fmt.Sprintf("exit e %d", want), fmt.Sprintf("exit %d", want))
			})
		}
	})
}

// TestTheFirstSignalIsTheReason also if SIGKILL follows at once, as with
// impatient users.
func TestTheFirstSignalIsTheReason(t *testing.T) {
	t.Parallel()
	d := newDaemon(t, v3)
	c := d.container("c", multiWasm, "spin").run()
	must(t, c.kill("", syscall.SIGTERM))
	if err := c.kill("", syscall.SIGKILL); kindOf(err) != ok && kindOf(err) != nf {
		t.Error(err)
	}
	if status := c.exitStatus(""); status != 143 {
		t.Errorf("exit status is %d, want 143", status)
	}
}

// TestSignalsThatDoNotEndAGuest are ignored, or stop it and let it continue.
func TestSignalsThatDoNotEndAGuest(t *testing.T) {
	eachVersion(t, func(t *testing.T, d *daemon) {
		c := d.container("c", multiWasm, "tick")
		out := c.withOutput()
		c.run()
		out.stdout.WaitFor(t, "tick 1\n")
		for _, sig := range []syscall.Signal{0, syscall.SIGWINCH, syscall.SIGCHLD, syscall.SIGURG, syscall.SIGCONT} {
			must(t, c.kill("", sig))
		}
		must(t, c.kill("", syscall.SIGSTOP))
		time.Sleep(200 * time.Millisecond) // for lines that are under way
		still := ticks(out)
		time.Sleep(400 * time.Millisecond)
		if now := ticks(out); now > still+1 {
			t.Errorf("%d lines came from a stopped guest", now-still)
		}
		c.requireStatus("", tasktypes.Status_RUNNING) // it is not paused
		still = ticks(out)
		must(t, c.kill("", syscall.SIGCONT))
		testenv.Eventually(t, "lines from a guest that continues", func() error {
			if ticks(out) < still+2 {
				return fmt.Errorf("%d lines, as before", ticks(out))
			}
			return nil
		})
		must(t, c.kill("", syscall.SIGSTOP))
		must(t, c.kill("", syscall.SIGTERM)) // also a stopped one
		if status := c.exitStatus(""); status != 143 {
			t.Errorf("exit status is %d, want 143", status)
		}
	})
}

func ticks(o *output) int { return strings.Count(o.stdout.String(), "\n") }

// TestSignalsReachANativeProcess: it decides itself.
func TestSignalsReachANativeProcess(t *testing.T) {
	eachVersion(t, func(t *testing.T, d *daemon) {
		c := d.container("c", multiNative, "sleep")
		out := c.withOutput()
		c.run()
		out.stdout.WaitFor(t, "sleeping")
		must(t, c.kill("", syscall.SIGUSR1)) // pid 1 without a handler
		c.requireStatus("", tasktypes.Status_RUNNING)
		must(t, c.kill("", syscall.SIGTERM))
		if status := c.exitStatus(""); status != 143 {
			t.Errorf("exit status is %d, want the handler's", status)
		}
	})
}

// TestKillAll ends what is in the container, not only init.
func TestKillAll(t *testing.T) {
	eachGuest(t, func(t *testing.T, d *daemon, k kind) {
		c := d.container("c", k.multi, "sleep").run()
		c.execRun("e", stdio{}, k.multi, "spin")
		must(t, c.killAll(syscall.SIGKILL))
		for _, id := range []string{"e", ""} {
			if status := c.exitStatus(id); status != 137 {
				t.Errorf("exit status of %q is %d, want 137", id, status)
			}
		}
	})
}

// TestPausedContainers do not run, and can be killed.
func TestPausedContainers(t *testing.T) {
	eachGuest(t, func(t *testing.T, d *daemon, k kind) {
		c := d.container("c", k.multi, "tick")
		out := c.withOutput()
		c.run()
		c.execRun("e", stdio{}, k.multi, "sleep")
		out.stdout.WaitFor(t, "tick 1\n")
		must(t, c.pause())
		c.requireStatus("", tasktypes.Status_PAUSED)
		time.Sleep(500 * time.Millisecond) // for lines that are under way
		still := ticks(out)
		// None of these lets it run.
		requireKind(t, "Kill 0", c.kill("", 0), ok)
		requireKind(t, "Kill SIGWINCH", c.kill("", syscall.SIGWINCH), ok)
		requireKind(t, "Kill of the exec", c.kill("e", syscall.SIGKILL), ok)
		time.Sleep(300 * time.Millisecond)
		if now := ticks(out); now != still {
			t.Errorf("%d lines came from a paused container", now-still)
		}
		must(t, c.resume())
		out.stdout.WaitFor(t, fmt.Sprintf("tick %d\n", still+2))
		if status := c.exitStatus("e"); status != 137 {
			t.Errorf("exit status of the exec is %d, want 137", status)
		}
		must(t, c.pause())
		atOnce(t, "end of a paused container", 10*time.Second, func() {
			must(t, c.kill("", syscall.SIGKILL))
			if status := c.exitStatus(""); status != 137 {
				t.Errorf("exit status is %d, want 137", status)
			}
		})
		c.requireStatus("", tasktypes.Status_STOPPED)
		requireKind(t, "Delete", second(c.delete("")), ok)
		d.events.awaitOne(t, "c", "delete")
		// The exec may have ended before the shim saw that all had resumed.
		got := slices.DeleteFunc(d.events.of("c"), func(e string) bool { return e == "exit e 137" })
		want := []string{"create", "start", "exec-added e", "exec-started e", "paused", "resumed", "paused", "exit 137", "delete 137"}
		if !slices.Equal(got, want) {
			t.Errorf("events %q, want %q", got, want)
		}
	})
}

// TestExecInAPausedContainer: it is refused, and the shim goes on.
func TestExecInAPausedContainer(t *testing.T) {
	eachGuest(t, func(t *testing.T, d *daemon, k kind) {
		c := d.container("c", k.multi, "sleep").run()
		must(t, c.pause())
		must(t, c.exec("e", stdio{}, k.multi, "sleep"))
		atOnce(t, "start of an exec", 10*time.Second, func() {
			requireKind(t, "Start", c.start("e"), failedPrecondition)
		})
		c.requireStatus("", tasktypes.Status_PAUSED)
		requireKind(t, "Delete", second(c.delete("e")), ok)
		must(t, c.resume())
		c.execRun("e", stdio{}, k.multi, "exit", "3")
		if status := c.exitStatus("e"); status != 3 {
			t.Errorf("exit status of a later exec is %d", status)
		}
	})
}

// TestPauseMeetsOtherCalls: whatever comes first, what is killed ends, and the shim goes on.
func TestPauseMeetsOtherCalls(t *testing.T) {
	eachGuest(t, func(t *testing.T, d *daemon, k kind) {
		for i := range 8 {
			c := d.container(fmt.Sprint("c", i), k.multi, "sleep").run()
			must(t, c.exec("e", stdio{}, k.multi, "sleep"))
			var calls sync.WaitGroup
			calls.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				_ = c.start("e") // refused if it comes after
			})
			must(t, c.pause())
			must(t, c.resume())
			within(t, "start of an exec", closedAfter(&calls)) // one that was frozen waits

			var status uint32
			calls.Go(func() { _ = c.pause() }) // refused if it comes after
			calls.Go(func() {
				time.Sleep(time.Duration(i) * 200 * time.Microsecond)
				must(t, c.kill("", syscall.SIGKILL))
				status = c.exitStatus("")
			})
			within(t, "end of what was killed", closedAfter(&calls))
			if status != 137 {
				t.Errorf("exit status is %d, want 137", status)
			}
		}
	})
}

// closedAfter is closed when all have ended.
func closedAfter(calls *sync.WaitGroup) <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		calls.Wait()
	}()
	return ended
}

// TestStopOfAPausedGuest: SIGTERM ends a guest also then, as SIGKILL would.
func TestStopOfAPausedGuest(t *testing.T) {
	t.Parallel()
	d := newDaemon(t, v3)
	c := d.container("c", multiWasm, "spin").run()
	must(t, c.pause())
	must(t, c.kill("", syscall.SIGTERM))
	if status := c.exitStatus(""); status != 143 {
		t.Errorf("exit status is %d, want 143", status)
	}
}

// TestTheShimOutlivesSignals that would end its containers.
func TestTheShimOutlivesSignals(t *testing.T) {
	t.Parallel()
	d := newDaemon(t, v3)
	c := d.container("c", multiWasm, "sleep").run()
	pid := c.shimPid()
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGPIPE, syscall.SIGUSR1} {
		must(t, syscall.Kill(pid, sig))
	}
	testenv.Eventually(t, "stacks in the log", func() error {
		if !bytes.Contains([]byte(c.log.String()), []byte("goroutine ")) {
			return fmt.Errorf("the log is %q", c.log.String())
		}
		return nil
	})
	c.requireStatus("", tasktypes.Status_RUNNING)
}

// TestProgramsDoNotIgnoreWhatTheShimOutlives: a shell could not undo that.
func TestProgramsDoNotIgnoreWhatTheShimOutlives(t *testing.T) {
	t.Parallel()
	d := newDaemon(t, v3)
	c := d.container("c", multiWasm, "both")
	c.logger(`exec 5>&-; grep SigIgn /proc/self/status > "$1.out"; cat <&4 & cat <&3; wait`)
	c.ended()
	requireKind(t, "Delete", second(c.delete("")), ok)
	status, err := os.ReadFile(filepath.Join(c.bundle, "log-of.out"))
	must(t, err)
	var ignored uint64
	if _, err := fmt.Sscanf(string(status), "SigIgn: %x", &ignored); err != nil {
		t.Fatalf("%q: %v", status, err)
	}
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGPIPE} { // others may be the test's parents'
		if ignored&(1<<(sig-1)) != 0 {
			t.Errorf("a logger ignores %s (%s)", sig, strings.TrimSpace(string(status)))
		}
	}
}

// TestDeathOfTheRunner is an ordinary end: it has a status, an event, and leaves
// nothing.
func TestDeathOfTheRunner(t *testing.T) {
	eachGuest(t, func(t *testing.T, d *daemon, k kind) {
		c := d.container("c", k.multi, "spin").run()
		state, err := c.state("")
		must(t, err)
		must(t, syscall.Kill(int(state.Pid), syscall.SIGKILL))
		testenv.Eventually(t, "end", func() error {
			if s, err := c.state(""); err != nil || s.Status != tasktypes.Status_STOPPED {
				return fmt.Errorf("%v, %v", s, err)
			}
			return nil
		})
		if status := c.exitStatus(""); status != 137 {
			t.Errorf("exit status is %d, want 137", status)
		}
		if _, err := os.Stat(filepath.Join(c.bundle, "exit.json")); err != nil {
			t.Error(err)
		}
	})
}
