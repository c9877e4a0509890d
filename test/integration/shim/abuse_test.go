package shim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// atOnceAll calls do several times at the same moment and counts the answers.
func atOnceAll(n int, do func() error) map[errorKind]int {
	answers := make(chan errorKind, n)
	begin := make(chan struct{})
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			<-begin
			answers <- kindOf(do())
		})
	}
	close(begin)
	all.Wait()
	close(answers)
	count := map[errorKind]int{}
	for k := range answers {
		count[k]++
	}
	return count
}

// TestOneOfManyWins: of the same call at the same moment one has an effect, and
// the others are told why they have none.
func TestOneOfManyWins(t *testing.T) {
	eachGuest(t, func(t *testing.T, d *daemon, k kind) {
		const n = 6
		c := d.container("c", k.multi, "sleep").connect()
		check := func(what string, got map[errorKind]int, loser errorKind) {
			t.Helper()
			if got[ok] != 1 || got[loser] != n-1 {
				t.Errorf("%s: %v, want one success and %d times %s", what, got, n-1, loser)
			}
		}
		check("Create", atOnceAll(n, func() error { return second(c.create()) }), ae)
		check("Start", atOnceAll(n, func() error { return c.start("") }), fp)
		check("Exec", atOnceAll(n, func() error { return c.exec("e", stdio{}, k.multi, "sleep") }), ae)
		check("Start of the exec", atOnceAll(n, func() error { return c.start("e") }), fp)
		check("Pause", atOnceAll(n, c.pause), fp)
		check("Resume", atOnceAll(n, c.resume), fp)
		must(t, c.kill("e", syscall.SIGKILL))
		c.exitStatus("e")
		check("Delete of the exec", atOnceAll(n, func() error { return second(c.delete("e")) }), nf)
		must(t, c.kill("", syscall.SIGKILL))
		c.exitStatus("")
		check("Delete", atOnceAll(n, func() error { return second(c.delete("")) }), nf)
		d.events.await(t, "c", "create", "start", "exec-added e", "exec-started e", "paused", "resumed", "exit e 137", "exit 137", "delete 137")
	})
}

// TestKillAtAnyMomentOfAStart: before, during or after, the container ends, and
// its events are those of a start or of none.
func TestKillAtAnyMomentOfAStart(t *testing.T) {
	eachGuest(t, func(t *testing.T, d *daemon, k kind) {
		pod := d.container("pod", k.multi, "sleep").created()
		for i := range 10 {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				c := d.containerFor(t, fmt.Sprint("c", i), k.multi, "spin").joins(pod.id).created()
				started := make(chan error, 1)
				go func() { started <- c.start("") }()
				time.Sleep(time.Duration(i) * 4 * time.Millisecond)
				must(t, c.kill("", syscall.SIGKILL))
				startErr := <-started
				if startErr != nil && strings.Contains(startErr.Error(), "memory") {
					t.Errorf("Start: %v", startErr)
				}
				if status := c.exitStatus(""); status != 137 {
					t.Errorf("exit status is %d, want 137", status)
				}
				_, err := c.delete("")
				must(t, err)
				d.events.awaitOne(t, c.id, "delete 137")
				got := strings.Join(d.events.of(c.id), ", ")
				switch {
				case startErr == nil && got == "create, start, exit 137, delete 137":
				case startErr != nil && (got == "create, exit 137, delete 137" || got == "create, delete 137"):
				default:
					t.Errorf("Start: %v; events %s", startErr, got)
				}
			})
		}
	})
}

// TestClientThatGoesInTheMiddleOfACall: what it has asked for is done, or was
// never begun; nothing is done by halves.
func TestClientThatGoesInTheMiddleOfACall(t *testing.T) {
	eachGuest(t, func(t *testing.T, d *daemon, k kind) {
		keeper := d.container("pod", k.multi, "sleep").created()
		for i := range 6 {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				c := d.containerFor(t, fmt.Sprint("c", i), k.multi, "sleep").joins(keeper.id)
				c.writeSpec()
				socket, err := d.start(c)
				must(t, err)
				for _, call := range []func(){func() { _, _ = c.create() }, func() { _ = c.start("") }} {
					must(t, c.dial(socket))
					done := make(chan struct{})
					go func() { defer close(done); call() }()
					time.Sleep(time.Duration(i) * 10 * time.Millisecond)
					must(t, c.client.Close())
					within(t, "end of the call", done)
				}
				must(t, c.dial(socket))
				// Both calls go on without their client, or never arrived.
				// On a busy machine that takes its time, and an event comes after the state
				// that it tells of.
				var last string
				quiet := time.Now()
				testenv.Eventually(t, "rest", func() error {
					state, err := c.state("")
					got := strings.Join(d.events.of(c.id), ", ")
					now := fmt.Errorf("State: %v, %v; events %q", state.GetStatus(), err, got)
					if now.Error() != last {
						last, quiet = now.Error(), time.Now()
					}
					switch {
					case kindOf(err) == nf && got == "":
					case err == nil && state.Status == tasktypes.Status_CREATED && got == "create":
					case err == nil && state.Status == tasktypes.Status_RUNNING && got == "create, start":
					default:
						return now
					}
					if time.Since(quiet) < 2*time.Second {
						return now
					}
					return nil
				})
			})
		}
	})
}

// TestBadClients do not disturb the others.
func TestBadClients(t *testing.T) {
	t.Parallel()
	d := newDaemon(t, v3)
	c := d.container("c", multiWasm, "sleep")
	c.writeSpec()
	socket, err := d.start(c)
	must(t, err)
	must(t, c.dial(socket))
	c.created()
	for i := range 100 { // some silent, some talking nonsense, some gone
		conn, err := net.Dial("unix", socket)
		must(t, err)
		switch i % 3 {
		case 0:
			t.Cleanup(func() { conn.Close() })
		case 1:
			_, _ = conn.Write([]byte(strings.Repeat("GET / HTTP/1.1\r\n", 100)))
			t.Cleanup(func() { conn.Close() })
		default:
			conn.Close()
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for service, method := range map[string]string{string(v3): "Destroy", "containerd.task.v9.Task": "State"} {
		if err := c.client.Call(ctx, service, method, &taskapi.StateRequest{ID: "c"}, &emptypb.Empty{}); err == nil || errors.Is(err, ttrpc.ErrClosed) {
			t.Errorf("%s/%s: %v", service, method, err)
		}
	}
	if err := c.exec("e", stdio{}, multiWasm, strings.Repeat("a", 5<<20)); err == nil {
		t.Error("a request of 5 MiB was accepted")
	}
	atOnce(t, "State", 5*time.Second, func() { c.requireStatus("", tasktypes.Status_CREATED) })
	must(t, c.start(""))
}

// TestShutdownWithAContainer does nothing.
func TestShutdownWithAContainer(t *testing.T) {
	eachGuest(t, func(t *testing.T, d *daemon, k kind) {
		c := d.container("c", k.multi, "sleep").run()
		must(t, c.shutdown())
		time.Sleep(50 * time.Millisecond)
		c.requireStatus("", tasktypes.Status_RUNNING)
	})
}

// TestCgroupRemovedBehindOurBack: there are no figures, and all else works.
func TestCgroupRemovedBehindOurBack(t *testing.T) {
	eachVersion(t, func(t *testing.T, d *daemon) {
		c := d.container("c", multiWasm, "exit").ended()
		for _, dir := range d.cgroups() {
			must(t, os.Remove(dir))
		}
		requireKind(t, "Stats", second(c.stats()), nf)
		requireKind(t, "State", second(c.state("")), ok)
		requireKind(t, "Delete", second(c.delete("")), ok)
	})
}

// TestBundleThatLosesItsFiles can still be deleted.
func TestBundleThatLosesItsFiles(t *testing.T) {
	eachVersion(t, func(t *testing.T, d *daemon) {
		for _, name := range []string{"config.json", "wazero.json", "runc", "log"} {
			c := d.container("no-"+strings.ReplaceAll(name, ".", "-"), multiWasm, "sleep").run()
			must(t, os.RemoveAll(filepath.Join(c.bundle, name)))
			must(t, c.kill("", syscall.SIGTERM))
			if status := c.exitStatus(""); status != 143 {
				t.Errorf("without %s: exit status is %d", name, status)
			}
			requireKind(t, "Delete without "+name, second(c.delete("")), ok)
			if name == "runc" { // nobody knows the cgroup but its name
				for _, dir := range d.cgroups() {
					_ = os.Remove(dir)
				}
			}
		}
	})
}
