package shim

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	tasktypes "github.com/containerd/containerd/api/types/task"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// answers is what a call answers in each phase of a container, or of an exec;
// "" where the call would change the phase or wait, and is tested elsewhere.
type answers struct {
	name string
	call func(*container) error
	want []errorKind // in the order of the phases
}

// phases of a container, each with what leads to it from the one before.
func phases(c *container) []step {
	return []step{
		{"unknown", func() {}},
		{"created", func() { c.created() }},
		{"running", func() { must(c.t, c.start("")) }},
		{"paused", func() { must(c.t, c.pause()) }},
		{"stopped", func() {
			must(c.t, c.resume())
			must(c.t, c.kill("", syscall.SIGKILL))
			c.exitStatus("")
		}},
		{"deleted", func() {
			_, err := c.delete("")
			must(c.t, err)
		}},
	}
}

type step struct {
	phase string
	enter func()
}

func requireAnswers(t *testing.T, c *container, steps []step, table []answers) {
	t.Helper()
	for i, s := range steps {
		s.enter()
		for _, row := range table {
			if want := row.want[i]; want != "" {
				requireKind(t, row.name+" when "+s.phase, row.call(c), want)
			}
		}
	}
}

const (
	nf = notFound
	ae = alreadyExists
	fp = failedPrecondition
	ia = invalidArgument
	ni = notImplemented
)

// TestAnswersInEachPhaseOfAContainer: whatever the order of calls, the error
// says what is wrong, and the container goes on as it was.
func TestAnswersInEachPhaseOfAContainer(t *testing.T) {
	eachGuest(t, func(t *testing.T, d *daemon, k kind) {
		c := d.container("c", k.multi, "sleep").connect()
		// A sibling keeps the shim alive when the container is deleted.
		s := d.container("sibling", k.multi, "sleep").joins("c").created()
		if c.shimPid() != s.shimPid() {
			t.Fatal("the containers are not in one shim")
		}
		exec := func(id string) func(c *container) error {
			return func(c *container) error { return c.exec(id, stdio{}, k.multi, "exit") }
		}
		requireAnswers(t, c, phases(c), []answers{
			// unknown, created, running, paused, stopped, deleted
			{"State", func(c *container) error { _, err := c.state(""); return err }, []errorKind{nf, ok, ok, ok, ok, nf}},
			{"Create", func(c *container) error { _, err := c.create(); return err }, []errorKind{"", ae, ae, ae, ae, ""}},
			{"Start", func(c *container) error { return c.start("") }, []errorKind{nf, "", fp, fp, fp, nf}},
			{"Wait", func(c *container) error { _, err := c.wait(""); return err }, []errorKind{nf, "", "", "", ok, nf}},
			{"Kill 0", func(c *container) error { return c.kill("", 0) }, []errorKind{nf, ok, ok, ok, nf, nf}},
			{"Kill 65", func(c *container) error { return c.kill("", 65) }, []errorKind{nf, ia, ia, ia, "", nf}},
			{"Kill SIGTERM", func(c *container) error { return c.kill("", syscall.SIGTERM) }, []errorKind{nf, "", "", "", nf, nf}},
			{"Delete", func(c *container) error { _, err := c.delete(""); return err }, []errorKind{nf, "", fp, fp, "", nf}},
			{"Pids", func(c *container) error { _, err := c.pids(); return err }, []errorKind{nf, ok, ok, ok, ok, nf}},
			{"Pause", (*container).pause, []errorKind{nf, fp, "", fp, fp, nf}},
			{"Resume", (*container).resume, []errorKind{nf, fp, fp, "", fp, nf}},
			{"Checkpoint", (*container).checkpoint, []errorKind{ni, ni, ni, ni, ni, ni}},
			{"Exec", exec("late"), []errorKind{nf, fp, "", "", fp, nf}},
			{"Exec without id", exec(""), []errorKind{nf, "", ia, ia, "", nf}},
			{"Exec without program", func(c *container) error { return c.exec("e", stdio{}) }, []errorKind{nf, "", ia, ia, "", nf}},
			{"ResizePty", func(c *container) error { return c.resize("", 80, 24) }, []errorKind{nf, ok, ok, ok, ok, nf}},
			{"CloseIO", func(c *container) error { return c.closeStdin("") }, []errorKind{nf, ok, ok, ok, ok, nf}},
			{"Update", func(c *container) error { return c.update(&specs.LinuxResources{}) }, []errorKind{nf, ok, ok, ok, fp, nf}},
			{"Stats", func(c *container) error { _, err := c.stats(); return err }, []errorKind{nf, ok, ok, ok, ok, nf}},
			{"Connect", func(c *container) error { _, err := c.connection(); return err }, []errorKind{ok, ok, ok, ok, ok, ok}},
			{"Shutdown", (*container).shutdown, []errorKind{ok, ok, ok, ok, ok, ok}},
			{"State of no exec", func(c *container) error { _, err := c.state("no"); return err }, []errorKind{nf, nf, nf, nf, nf, nf}},
			{"Start of no exec", func(c *container) error { return c.start("no") }, []errorKind{nf, nf, nf, nf, nf, nf}},
			{"Wait for no exec", func(c *container) error { _, err := c.wait("no"); return err }, []errorKind{nf, nf, nf, nf, nf, nf}},
			{"Kill of no exec", func(c *container) error { return c.kill("no", syscall.SIGKILL) }, []errorKind{nf, nf, nf, nf, nf, nf}},
			{"Delete of no exec", func(c *container) error { _, err := c.delete("no"); return err }, []errorKind{nf, nf, nf, nf, nf, nf}},
			{"ResizePty of no exec", func(c *container) error { return c.resize("no", 80, 24) }, []errorKind{nf, nf, nf, nf, nf, nf}},
			{"CloseIO of no exec", func(c *container) error { return c.closeStdin("no") }, []errorKind{nf, nf, nf, nf, nf, nf}},
		})
		// Nothing of all that was an event.
		d.events.await(t, "c", "create", "start", "paused", "resumed", "exit 137", "delete 137")
	})
}

// TestAnswersInEachPhaseOfAnExec is the same for an exec.
func TestAnswersInEachPhaseOfAnExec(t *testing.T) {
	eachGuest(t, func(t *testing.T, d *daemon, k kind) {
		c := d.container("c", k.multi, "sleep").run()
		add := func(c *container) error { return c.exec("e", stdio{}, k.multi, "sleep") }
		steps := []step{
			{"unknown", func() {}},
			{"added", func() { must(t, add(c)) }},
			{"running", func() { must(t, c.start("e")) }},
			{"stopped", func() {
				must(t, c.kill("e", syscall.SIGKILL))
				c.exitStatus("e")
			}},
			{"deleted", func() {
				_, err := c.delete("e")
				must(t, err)
			}},
			{"added again", func() { must(t, add(c)) }},
		}
		requireAnswers(t, c, steps, []answers{
			// unknown, added, running, stopped, deleted, added again
			{"Exec", add, []errorKind{"", ae, ae, ae, "", ae}},
			{"State", func(c *container) error { _, err := c.state("e"); return err }, []errorKind{nf, ok, ok, ok, nf, ok}},
			{"Start", func(c *container) error { return c.start("e") }, []errorKind{nf, "", fp, fp, nf, ""}},
			{"Wait", func(c *container) error { _, err := c.wait("e"); return err }, []errorKind{nf, "", "", ok, nf, ""}},
			{"Kill 0", func(c *container) error { return c.kill("e", 0) }, []errorKind{nf, fp, ok, nf, nf, fp}},
			{"Delete", func(c *container) error { _, err := c.delete("e"); return err }, []errorKind{nf, "", fp, "", nf, ""}},
			{"ResizePty", func(c *container) error { return c.resize("e", 80, 24) }, []errorKind{nf, ok, ok, ok, nf, ok}},
			{"CloseIO", func(c *container) error { return c.closeStdin("e") }, []errorKind{nf, ok, ok, ok, nf, ok}},
		})
		c.requireStatus("", tasktypes.Status_RUNNING)
		d.events.await(t, "c", "create", "start", "exec-added e", "exec-started e", "exit e 137", "exec-added e")
	})
}

// TestExecAfterTheEndOfInit: an exec that was added in time cannot start late.
func TestExecAfterTheEndOfInit(t *testing.T) {
	eachGuest(t, func(t *testing.T, d *daemon, k kind) {
		c := d.container("c", k.multi, "sleep").run()
		must(t, c.exec("early", stdio{}, k.multi, "exit"))
		must(t, c.kill("", syscall.SIGKILL))
		c.exitStatus("")
		requireKind(t, "Start of an exec added before", c.start("early"), fp)
		err := c.exec("late", stdio{}, k.multi, "exit")
		requireKind(t, "Exec", err, fp)
		if err != nil && !strings.Contains(err.Error(), "is not running") {
			t.Errorf("clients look for \"is not running\" in %q", err)
		}
		requireKind(t, "Delete of an exec that never ran", second(c.delete("early")), ok)
	})
}

// TestWaitForAnExecThatNeverRuns ends with the container.
func TestWaitForAnExecThatNeverRuns(t *testing.T) {
	t.Parallel()
	d := newDaemon(t, v3)
	c := d.container("c", multiWasm, "sleep").run()
	must(t, c.exec("e", stdio{}, multiWasm, "exit"))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if _, err := c.wait("e"); err != nil {
			t.Error(err)
		}
	}()
	time.Sleep(50 * time.Millisecond)
	must(t, c.kill("", syscall.SIGKILL))
	c.exitStatus("")
	requireKind(t, "Delete", second(c.delete("")), ok)
	select {
	case <-ended:
	case <-time.After(limit):
		t.Error("Wait goes on")
	}
}

// TestSecondCreateLeavesTheFirstAlone: neither its process nor its files.
func TestSecondCreateLeavesTheFirstAlone(t *testing.T) {
	eachGuest(t, func(t *testing.T, d *daemon, k kind) {
		c := d.container("c", k.multi, "echo", "still here")
		out := c.withOutput()
		c.created()
		requireKind(t, "second Create", second(c.create()), ae)
		must(t, c.start(""))
		if status := c.exitStatus(""); status != 0 {
			t.Errorf("exit status is %d", status)
		}
		if got := out.stdout.all(t); got != "still here\n" {
			t.Errorf("stdout is %q", got)
		}
	})
}

// TestConnect tells the pids; 0 for a container that is not known.
func TestConnect(t *testing.T) {
	eachVersion(t, func(t *testing.T, d *daemon) {
		c := d.container("c", multiWasm, "sleep").connect()
		before, err := c.connection()
		must(t, err)
		created, err := c.create()
		must(t, err)
		after, err := c.connection()
		must(t, err)
		if before.TaskPid != 0 || after.TaskPid != created.Pid || before.ShimPid == 0 || before.ShimPid != after.ShimPid {
			t.Errorf("before Create %v, after it %v, pid of the process is %d", before, after, created.Pid)
		}
	})
}

// TestAllPidsAreKnown lists init, and execs with their ids.
func TestAllPidsAreKnown(t *testing.T) {
	eachGuest(t, func(t *testing.T, d *daemon, k kind) {
		c := d.container("c", k.multi, "sleep").run()
		c.execRun("e", stdio{}, k.multi, "sleep")
		init, err := c.state("")
		must(t, err)
		exec, err := c.state("e")
		must(t, err)
		pids, err := c.pids()
		must(t, err)
		got := map[uint32]bool{}
		for _, p := range pids {
			got[p.Pid] = p.Info != nil
		}
		if len(got) != 2 || got[init.Pid] || !got[exec.Pid] {
			t.Errorf("pids %v; init is %d and has no info, the exec is %d and has", pids, init.Pid, exec.Pid)
		}
		if err := exists(init.Pid, exec.Pid); err != nil {
			t.Error(err)
		}
	})
}

func exists(pids ...uint32) error {
	for _, pid := range pids {
		if err := syscall.Kill(int(pid), 0); err != nil {
			return fmt.Errorf("process %d: %w", pid, err)
		}
	}
	return nil
}

// second drops an answer.
func second[T any](_ T, err error) error { return err }
