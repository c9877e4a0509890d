package cgroup

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// watched is a v2 cgroup of the test's own files, and what tells of its watch.
func watched(t *testing.T) (c *v2, told chan struct{}, cancel context.CancelFunc) {
	t.Helper()
	c = &v2{dir: tree(t, map[string]string{"memory.events": "oom 0\noom_kill 0\n", "cgroup.events": "populated 1\nfrozen 0\n"})}
	told = make(chan struct{}, 10)
	ctx, cancel := context.WithCancel(t.Context())
	if err := c.WatchOOM(ctx, func() { told <- struct{}{} }); err != nil {
		t.Fatal(err)
	}
	return c, told, cancel
}

func (c *v2) write(t *testing.T, file, text string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(c.dir, file), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func await(t *testing.T, told chan struct{}) {
	t.Helper()
	select {
	case <-told:
	case <-time.After(patience):
		t.Fatal("nobody is told")
	}
}

// silent is how long nobody must be told anything.
const silent = 50 * time.Millisecond

func TestWatchOfV2(t *testing.T) {
	t.Parallel()
	c, told, _ := watched(t)
	c.write(t, "memory.events", "oom 1\noom_kill 1\n")
	await(t, told)
	if kills, err := c.OOMKills(); err != nil || kills != 1 {
		t.Errorf("%d, %v", kills, err)
	}
	c.write(t, "memory.events", "oom 2\noom_kill 2\n")
	await(t, told)
	c.write(t, "cgroup.events", "populated 0\n")
	await(t, told) // the last process may have been killed for want of memory
	c.write(t, "memory.events", "oom 3\noom_kill 3\n")
	time.Sleep(silent)
	if n := len(told); n > 0 {
		t.Errorf("told %d times after the end", n)
	}
}

func TestWatchOfV2EndsWithItsContext(t *testing.T) {
	t.Parallel()
	c, told, cancel := watched(t)
	cancel()
	time.Sleep(silent)
	c.write(t, "memory.events", "oom 1\noom_kill 1\n")
	time.Sleep(silent)
	if n := len(told); n > 0 {
		t.Errorf("told %d times", n)
	}
}

func TestWithoutMemoryControllerNothingIsWatched(t *testing.T) {
	t.Parallel()
	c := &v2{dir: tree(t, map[string]string{"cgroup.events": "populated 1\n"})}
	if err := c.WatchOOM(t.Context(), func() { t.Error("told") }); err == nil {
		t.Error("no error")
	}
	if kills, err := c.OOMKills(); err != nil || kills != 0 {
		t.Errorf("%d, %v", kills, err)
	}
}
