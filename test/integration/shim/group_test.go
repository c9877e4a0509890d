package shim

import (
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	tasktypes "github.com/containerd/containerd/api/types/task"
)

// TestStartsOfOnePodAtOnce give one shim.
func TestStartsOfOnePodAtOnce(t *testing.T) {
	eachVersion(t, func(t *testing.T, d *daemon) {
		containers := make([]*container, 8)
		for i := range containers {
			containers[i] = d.container(fmt.Sprint("c", i), multiWasm, "sleep").joins("pod")
			containers[i].writeSpec()
		}
		sockets := make([]string, len(containers))
		var starts sync.WaitGroup
		for i, c := range containers {
			starts.Go(func() {
				var err error
				if sockets[i], err = d.start(c); err != nil {
					t.Error(err)
				}
			})
		}
		starts.Wait()
		pids := map[int]bool{}
		for i, c := range containers {
			must(t, c.dial(sockets[i]))
			pids[c.shimPid()] = true
			_, err := c.create()
			must(t, err)
		}
		if len(pids) != 1 {
			t.Errorf("%d shims, want one", len(pids))
		}
	})
}

// TestContainersWithoutAPodAreAlone: each has its shim.
func TestContainersWithoutAPodAreAlone(t *testing.T) {
	t.Parallel()
	d := newDaemon(t, v3)
	a, b := d.container("a", multiWasm, "sleep").created(), d.container("b", multiWasm, "sleep").created()
	if a.shimPid() == b.shimPid() {
		t.Error("two containers share a shim")
	}
}

// TestStartWhileTheShimShutsDown: the next container of the pod finds the old
// shim or a new one, but never one that is just going.
func TestStartWhileTheShimShutsDown(t *testing.T) {
	eachVersion(t, func(t *testing.T, d *daemon) {
		last := d.container("c0", multiWasm, "sleep").joins("pod").created()
		shims := map[int]bool{last.shimPid(): true}
		for i := range 12 {
			next := d.container(fmt.Sprint("c", i+1), multiWasm, "sleep").joins("pod")
			next.writeSpec()
			requireKind(t, "Delete", second(last.delete("")), ok)
			var both sync.WaitGroup
			both.Go(func() {
				time.Sleep(10 * time.Millisecond)
				if err := last.shutdown(); err != nil {
					t.Error(err)
				}
			})
			both.Go(func() {
				// From before Shutdown to after the end of the shim.
				time.Sleep(time.Duration(i) * 1500 * time.Microsecond)
				socket, err := d.start(next)
				if err != nil {
					t.Error(err)
				} else if err := next.dial(socket); err != nil {
					t.Error(err)
				} else if _, err := next.create(); err != nil {
					t.Error(err)
				}
			})
			both.Wait()
			if t.Failed() {
				return
			}
			shims[next.shimPid()] = true
			last = next
		}
		t.Logf("%d shims served 13 containers", len(shims))
	})
}

// TestShimGoesWithItsLastContainer and not before.
func TestShimGoesWithItsLastContainer(t *testing.T) {
	eachVersion(t, func(t *testing.T, d *daemon) {
		a := d.container("a", multiWasm, "sleep").joins("pod").run()
		b := d.container("b", multiWasm, "sleep").joins("pod").run()
		pid := a.shimPid()
		must(t, a.kill("", syscall.SIGKILL))
		a.exitStatus("")
		requireKind(t, "Delete", second(a.delete("")), ok)
		must(t, a.shutdown())
		time.Sleep(100 * time.Millisecond)
		b.requireStatus("", tasktypes.Status_RUNNING)
		must(t, b.kill("", syscall.SIGKILL))
		b.exitStatus("")
		requireKind(t, "Delete", second(b.delete("")), ok)
		must(t, b.shutdown())
		awaitGone(t, pid)
	})
}

// TestDeleteAfterTheDeathOfTheShim: when a shim is killed its guests die, and delete
// cleans up after each container, whatever the order.
func TestDeleteAfterTheDeathOfTheShim(t *testing.T) {
	eachGuest(t, func(t *testing.T, d *daemon, k kind) {
		a := d.container("a", k.multi, "spin").joins("pod").run()
		b := d.container("b", k.multi, "exit", "4").joins("pod").ended()
		created := d.container("created", k.multi, "spin").joins("pod").created()
		pid := a.shimPid()
		must(t, syscall.Kill(pid, syscall.SIGKILL))
		awaitGone(t, pid)
		for c, want := range map[*container]uint32{a: 137, b: 4, created: 137} {
			r, err := d.cleanUp(c)
			must(t, err)
			if r.ExitStatus != want || r.Pid == 0 {
				t.Errorf("delete of %s answers %v, want status %d and a pid", c.id, r, want)
			}
			c.client.Close()
			c.client = nil
		}
		if left := append(d.mounts(), d.cgroups()...); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
	})
}
