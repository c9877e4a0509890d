package faults

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// sleeper is a small guest that sleeps until it is ended: what the shim costs is
// not hidden behind the compiler.
func sleeper(t *testing.T) testenv.Image {
	t.Helper()
	return testenv.Image{
		Name:  "test.local/sleeper:1",
		Files: map[string]testenv.File{"/sleeper.wasm": {Data: testenv.Example(t, "daemon")}},
	}
}

var sleeperArgs = []string{"/sleeper.wasm"}

// Test200ContainersCreatedAtOnce: all run, all end, nothing is left (which the
// daemon's leak check proves).
func Test200ContainersCreatedAtOnce(t *testing.T) {
	const many = 200
	c := testenv.StartContainerd(t, testenv.Newest)
	img := sleeper(t)
	c.Import(t, img)
	tasks := make([]*testenv.Task, many)
	begin := time.Now()
	var wg sync.WaitGroup
	for i := range tasks {
		wg.Go(func() {
			k, err := c.Create(t, testenv.Spec{ID: fmt.Sprint("c", i), Image: img, Args: sleeperArgs})
			if err != nil {
				t.Errorf("create %d: %v", i, err)
				return
			}
			if err := k.Start(k.Context()); err != nil {
				t.Errorf("start %d: %v", i, err)
				return
			}
			tasks[i] = k
		})
	}
	wg.Wait()
	t.Logf("%d containers run after %s", many, time.Since(begin).Round(time.Millisecond))
	for i, k := range tasks {
		if k == nil {
			continue
		}
		wg.Go(func() {
			k.Signal(t, syscall.SIGTERM)
			if status := k.Finish(t); status != 143 {
				t.Errorf("exit status of %d is %d, want 143", i, status)
			}
		})
	}
	wg.Wait()
}

// Test500RoundsLeaveTheShimAsItWas runs 500 containers through one shim, which
// an idle container keeps alive.
func Test500RoundsLeaveTheShimAsItWas(t *testing.T) {
	const (
		warmUp  = 20
		rounds  = 500
		maxRise = 8 << 20 // bytes of RSS
	)
	c := testenv.StartContainerd(t, testenv.Newest)
	img := sleeper(t)
	c.Import(t, img)
	inGroup := []oci.SpecOpts{group("g")}
	anchor := c.Run(t, testenv.Spec{ID: "anchor", Image: img, Args: sleeperArgs, Opts: inGroup})
	cl, ctx := c.Client(t)
	round := func(i int) {
		container, err := c.NewContainer(t, cl, ctx, testenv.Spec{ID: fmt.Sprint("r", i), Image: img, Args: sleeperArgs, Opts: inGroup})
		if err != nil {
			t.Fatal(err)
		}
		task, err := container.NewTask(ctx, cio.NullIO)
		if err != nil {
			t.Fatal(err)
		}
		exit, err := task.Wait(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := task.Start(ctx); err != nil {
			t.Fatal(err)
		}
		if err := task.Kill(ctx, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if s := <-exit; s.ExitCode() != 137 {
			t.Fatalf("round %d: exit status is %d, want 137", i, s.ExitCode())
		}
		if _, err := task.Delete(ctx); err != nil {
			t.Fatal(err)
		}
		if err := container.Delete(ctx, client.WithSnapshotCleanup); err != nil {
			t.Fatal(err)
		}
	}
	for i := range warmUp {
		round(i)
	}
	before := measure(t, c, shimOf(t, anchor))
	begin := time.Now()
	for i := range rounds {
		round(warmUp + i)
	}
	t.Logf("%d rounds in %s", rounds, time.Since(begin).Round(time.Millisecond))
	var after shimFigures
	testenv.Eventually(t, "return to the base line", func() error {
		after = measure(t, c, shimOf(t, anchor))
		if after.files > before.files || after.goroutines > before.goroutines || after.children > before.children {
			return fmt.Errorf("before %+v, after %+v", before, after)
		}
		return nil
	})
	t.Logf("before %+v, after %+v", before, after)
	// It is given back when nothing has happened for a while.
	testenv.Eventually(t, "return of the memory", func() error {
		if rise := resident(t, shimOf(t, anchor)) - before.rss; rise > maxRise {
			return fmt.Errorf("the shim's RSS rose by %d bytes, more than %d", rise, maxRise)
		}
		return nil
	})
}

// shimFigures are what must not grow.
type shimFigures struct{ files, goroutines, children, rss int }

func measure(t *testing.T, c *testenv.Containerd, shim int) shimFigures {
	t.Helper()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", shim))
	if err != nil {
		t.Fatal(err)
	}
	return shimFigures{
		files: len(files), rss: resident(t, shim),
		goroutines: goroutines(t, c, shim), children: children(t, shim),
	}
}

// resident is the RSS of a process, bytes.
func resident(t *testing.T, pid int) int {
	t.Helper()
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(statm))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

func children(t *testing.T, shim int) int {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", shim))
	if err != nil {
		t.Fatal(err)
	}
	return len(strings.Fields(string(data)))
}

var stacks = regexp.MustCompile(`stacks of (\d+) goroutines`)

// goroutines asks the shim to write its stacks to containerd's log.
func goroutines(t *testing.T, c *testenv.Containerd, shim int) int {
	t.Helper()
	seen := len(stacks.FindAllString(c.Log(), -1))
	if err := syscall.Kill(shim, syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	var n int
	testenv.Eventually(t, "stacks in the log", func() error {
		all := stacks.FindAllStringSubmatch(c.Log(), -1)
		if len(all) == seen {
			return fmt.Errorf("none yet")
		}
		n, _ = strconv.Atoi(all[len(all)-1][1])
		return nil
	})
	return n
}
