package shim

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	taskv2 "github.com/containerd/containerd/api/runtime/task/v2"
	tasktypes "github.com/containerd/containerd/api/types/task"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestEventsOfTheFastestGuestsAreInOrder: a hundred guests that exit at once,
// several at a time in one shim.
func TestEventsOfTheFastestGuestsAreInOrder(t *testing.T) {
	const rounds = 25 // for each of four
	eachGuest(t, func(t *testing.T, d *daemon, k kind) {
		keeper := d.container("pod", k.multi, "sleep").created()
		ids := make(chan string)
		var workers sync.WaitGroup
		for range 3 {
			workers.Go(func() {
				for id := range ids {
					t.Run(id, func(t *testing.T) {
						c := d.containerFor(t, id, k.multi, "exit", "3").joins(keeper.id)
						c.ended()
						c.requireStatus("", tasktypes.Status_STOPPED)
						_, err := c.delete("")
						must(t, err)
					})
				}
			})
		}
		for i := range rounds {
			ids <- fmt.Sprint("c", i)
		}
		close(ids)
		workers.Wait()
		for i := range rounds {
			d.events.await(t, fmt.Sprint("c", i), "create", "start", "exit 3", "delete 3")
		}
	})
}

// TestExecsExitBeforeInit: whoever sees the exit of init may remove the container.
func TestExecsExitBeforeInit(t *testing.T) {
	eachGuest(t, func(t *testing.T, d *daemon, k kind) {
		for name, edit := range map[string]func(*container){
			"own":  func(*container) {},
			"host": func(c *container) { c.withoutNamespace(specs.PIDNamespace) },
		} {
			c := d.container(name, k.multi, "sleep")
			edit(c)
			c.run()
			execs := []string{"e1", "e2", "e3"}
			for _, e := range execs {
				c.execRun(e, stdio{}, k.multi, "sleep")
			}
			must(t, c.kill("", syscall.SIGKILL))
			c.exitStatus("")
			for _, e := range execs {
				c.requireStatus(e, tasktypes.Status_STOPPED)
			}
			d.events.awaitOne(t, c.id, "exit 137")
			got := d.events.of(c.id)
			if tail := got[len(got)-4:]; tail[3] != "exit 137" || strings.Count(strings.Join(got, "\n"), "exit ") != 4 {
				t.Errorf("%s pid namespace: events %q", name, got)
			}
			// The execs need not be deleted first.
			requireKind(t, "Delete", second(c.delete("")), ok)
		}
	})
}

// withoutNamespace shares one of the host's.
func (c *container) withoutNamespace(kind specs.LinuxNamespaceType) {
	c.spec.Linux.Namespaces = slices.DeleteFunc(c.spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == kind })
}

// TestOneEndManyWitnesses: every Wait and State, before and after, and Delete
// tell the same end; there is one exit event.
func TestOneEndManyWitnesses(t *testing.T) {
	eachGuest(t, func(t *testing.T, d *daemon, k kind) {
		c := d.container("c", k.multi, "sleep", "0.3").run()
		var waiters sync.WaitGroup
		statuses := make(chan string, 20)
		for range 10 {
			waiters.Go(func() {
				r, err := c.wait("")
				statuses <- fmt.Sprint(r.GetExitStatus(), r.GetExitedAt().AsTime(), err)
			})
			waiters.Go(func() { _ = c.kill("", syscall.SIGCONT) }) // harmless
		}
		waiters.Wait()
		close(statuses)
		state, err := c.state("")
		must(t, err)
		want := fmt.Sprint(state.ExitStatus, state.ExitedAt.AsTime(), nil)
		for s := range statuses {
			if s != want {
				t.Errorf("Wait tells %s, State %s", s, want)
			}
		}
		if age := time.Since(state.ExitedAt.AsTime()); age < 0 || age > limit {
			t.Errorf("it ended %s ago", age)
		}
		// Ten at once: one removes it, the others do not find it.
		results := make([]errorKind, 10)
		var deleters sync.WaitGroup
		for i := range results {
			deleters.Go(func() { results[i] = kindOf(second(c.delete(""))) })
		}
		deleters.Wait()
		if n := len(slices.DeleteFunc(slices.Clone(results), func(k errorKind) bool { return k != ok })); n != 1 || slices.ContainsFunc(results, func(k errorKind) bool { return k != ok && k != nf }) {
			t.Errorf("Deletes answered %v", results)
		}
		d.events.await(t, "c", "create", "start", "exit 0", "delete 0")
	})
}

// TestOOMComesBeforeExit: clients look for the reason when they see the exit.
func TestOOMComesBeforeExit(t *testing.T) {
	eachGuest(t, func(t *testing.T, d *daemon, k kind) {
		c := d.container("c", k.multi, "alloc", "256")
		memory := int64(48 << 20)
		c.spec.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &memory}
		c.ended()
		if state, err := c.state(""); err != nil || state.ExitStatus != 137 {
			t.Errorf("State: %v, %v; want status 137", state, err)
		}
		d.events.await(t, "c", "create", "start", "oom", "exit 137")
	})
}

// TestAHangingContainerdHoldsNobodyUp: calls go on while it takes no events, and
// the events come in order when it does again.
func TestAHangingContainerdHoldsNobodyUp(t *testing.T) {
	eachVersion(t, func(t *testing.T, d *daemon) {
		resume := d.events.suspend()
		c := d.container("c", multiWasm, "exit")
		atOnce(t, "a life", 10*time.Second, func() {
			c.ended()
			_, err := c.delete("")
			must(t, err)
		})
		resume()
		d.events.awaitInOrder(t, "c", "create", "start", "exit 0", "delete 0")
	})
}

// awaitInOrder is await for events that may arrive twice: containerd has had
// them, but its answer came too late.
func (r *recorder) awaitInOrder(t testing.TB, id string, want ...string) {
	t.Helper()
	r.awaitOne(t, id, want[len(want)-1])
	if got := slices.Compact(r.of(id)); !slices.Equal(got, want) {
		t.Errorf("events of %s are %q, want %q", id, got, want)
	}
}

// TestEventsWaitForContainerd: it is away for more than a minute, and events of
// several containers arrive in order afterwards.
func TestEventsWaitForContainerd(t *testing.T) {
	d := newDaemon(t, v3)
	keeper := d.container("pod", multiWasm, "sleep").run()
	d.events.await(t, "pod", "create", "start")
	d.events.stop()
	ids := []string{"a", "b", "c"}
	for _, id := range ids {
		c := d.container(id, multiWasm, "exit", "7").joins(keeper.id).ended()
		_, err := c.delete("")
		must(t, err)
	}
	gone := time.Now()
	t.Parallel() // the others need not wait
	time.Sleep(time.Until(gone.Add(65 * time.Second)))
	d.events.listen()
	for _, id := range ids {
		d.events.await(t, id, "create", "start", "exit 7", "delete 7")
	}
	d.events.mu.Lock()
	defer d.events.mu.Unlock()
	var want []string
	for _, id := range ids {
		for _, e := range []string{"create", "start", "exit 7", "delete 7"} {
			want = append(want, id+": "+e)
		}
	}
	if got := d.events.lines[2:]; !slices.Equal(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
}

// TestNobodyListens: without TTRPC_ADDRESS there are no events, and all else works.
func TestNobodyListens(t *testing.T) {
	eachVersion(t, func(t *testing.T, d *daemon) {
		d.ttrpc = ""
		c := d.container("c", multiWasm, "exit", "5").ended()
		r, err := c.delete("")
		must(t, err)
		if r.ExitStatus != 5 {
			t.Errorf("exit status is %d, want 5", r.ExitStatus)
		}
		pid := c.shimPid()
		atOnce(t, "end of the shim", 10*time.Second, func() {
			must(t, c.shutdown())
			awaitGone(t, pid)
		})
	})
}

// awaitGone waits for the end of a process.
func awaitGone(t testing.TB, pid int) {
	t.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(5 * time.Millisecond) {
		if syscall.Kill(pid, 0) != nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("process %d lives on", pid)
		}
	}
}

// TestContainerdsOwnClientOfVersion2 reads the answers with the types that
// containerd 1.6 has.
func TestContainerdsOwnClientOfVersion2(t *testing.T) {
	t.Parallel()
	d := newDaemon(t, v2)
	c := d.container("c", multiWasm, "sleep").run()
	client := taskv2.NewTTRPCTaskClient(c.client)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	state, err := client.State(ctx, &taskv2.StateRequest{ID: "c"})
	must(t, err)
	if state.Status != tasktypes.Status_RUNNING || state.Pid == 0 || state.Bundle != c.bundle {
		t.Errorf("State answers %v", state)
	}
	_, err = client.Kill(ctx, &taskv2.KillRequest{ID: "c", Signal: uint32(syscall.SIGTERM)})
	must(t, err)
	end, err := client.Wait(ctx, &taskv2.WaitRequest{ID: "c"})
	must(t, err)
	if end.ExitStatus != 143 {
		t.Errorf("Wait answers %v", end)
	}
	gone, err := client.Delete(ctx, &taskv2.DeleteRequest{ID: "c"})
	must(t, err)
	if gone.ExitStatus != 143 || gone.Pid != state.Pid {
		t.Errorf("Delete answers %v", gone)
	}
}

// TestNobodyWaitsForACompiler: while Create compiles a module of 20 MB, the other
// containers of the pod do not notice, and a client without patience gets rid of
// the container at once.
func TestNobodyWaitsForACompiler(t *testing.T) {
	eachVersion(t, func(t *testing.T, d *daemon) {
		other := d.container("other", multiWasm, "sleep").run()
		c := d.container("c", bigModule, "--help").joins(other.id).withOptions("no_cache = true\n").connect()
		created := make(chan error, 1)
		go func() { _, err := c.create(); created <- err }()
		for begin := time.Now(); time.Since(begin) < 500*time.Millisecond; time.Sleep(20 * time.Millisecond) {
			atOnce(t, "State, Connect, Pids and Stats", 5*time.Second, func() {
				requireKind(t, "State", second(c.state("")), nf)
				other.requireStatus("", tasktypes.Status_RUNNING)
				requireKind(t, "Connect", second(other.connection()), ok)
				requireKind(t, "Pids", second(other.pids()), ok)
				requireKind(t, "Stats", second(other.stats()), ok)
			})
		}
		select {
		case err := <-created:
			t.Fatalf("the module was compiled too soon for this test (%v)", err)
		default:
		}
		atOnce(t, "Delete while compiling", 10*time.Second, func() {
			requireKind(t, "Delete", second(c.delete("")), nf)
			if err := <-created; err == nil || !strings.Contains(err.Error(), "still being compiled") {
				t.Errorf("Create: %v", err)
			}
		})
		requireKind(t, "State", second(c.state("")), nf)
		if got := d.events.of(c.id); len(got) > 0 {
			t.Errorf("events %q", got)
		}
		other.requireStatus("", tasktypes.Status_RUNNING)
	})
}

// TestContainerDiesWhileAnExecIsCompiled: its end is not held up by that.
func TestContainerDiesWhileAnExecIsCompiled(t *testing.T) {
	eachVersion(t, func(t *testing.T, d *daemon) {
		c := d.container("c", multiWasm, "sleep").withOptions("no_cache = true\n").run()
		must(t, c.exec("e", stdio{}, bigModule, "--help"))
		started := make(chan error, 1)
		go func() { started <- c.start("e") }()
		select {
		case err := <-started:
			t.Fatalf("the exec has started (%v)", err)
		case <-time.After(500 * time.Millisecond):
		}
		atOnce(t, "the end", 5*time.Second, func() {
			must(t, c.kill("", syscall.SIGKILL))
			if status := c.exitStatus(""); status != 137 {
				t.Errorf("exit status is %d", status)
			}
			if err := <-started; err == nil {
				t.Error("the exec has started")
			}
		})
		requireKind(t, "Delete", second(c.delete("")), ok)
	})
}

// TestDescriptorsOfAPodShim: containers that come and go leave none open.
func TestDescriptorsOfAPodShim(t *testing.T) {
	eachGuest(t, func(t *testing.T, d *daemon, k kind) {
		keeper := d.container("pod", k.multi, "sleep").run()
		pid := keeper.shimPid()
		var base []string
		for i := range 4 {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				c := d.containerFor(t, fmt.Sprint("c", i), k.multi, "cat").joins(keeper.id)
				out := c.withOutput()
				c.stdin = c.stdinFIFO("init")
				c.run()
				io, execOut := c.fifos("e")
				io.terminal = true
				c.execRun("e", io, k.multi, "exit")
				c.exitStatus("e")
				execOut.stdout.all(t)
				_, err := c.delete("e")
				must(t, err)
				must(t, c.closeStdin(""))
				c.exitStatus("")
				out.stdout.all(t)
				_, err = c.delete("")
				must(t, err)
				must(t, c.client.Close())
				c.client = nil
			})
			if i == 0 { // the first opens what stays, say the events' socket
				base = descriptors(t, pid)
			}
		}
		var now []string
		for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			if now = descriptors(t, pid); len(now) <= len(base) {
				return
			}
		}
		t.Errorf("%d descriptors after the first container:\n  %s\n%d after the fourth:\n  %s", len(base), strings.Join(base, "\n  "), len(now), strings.Join(now, "\n  "))
	})
}

func descriptors(t testing.TB, pid int) []string {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	must(t, err)
	var found []string
	for _, e := range entries {
		target, _ := os.Readlink(filepath.Join(dir, e.Name()))
		found = append(found, e.Name()+" "+target)
	}
	return found
}
