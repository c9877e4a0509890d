package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// unread is an IO whose FIFOs exist, but nobody reads them unless the test does.
type unread struct{ config cio.Config }

func (u unread) Config() cio.Config { return u.config }
func (unread) Cancel()              {}
func (unread) Wait()                {}
func (unread) Close() error         { return nil }

func makeFIFOs(t *testing.T) unread {
	t.Helper()
	dir := t.TempDir()
	u := unread{cio.Config{Stdout: filepath.Join(dir, "out"), Stderr: filepath.Join(dir, "err")}}
	for _, path := range []string{u.config.Stdout, u.config.Stderr} {
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return u
}

// startUnread starts a guest that writes 1 MiB, more than a pipe takes.
func startUnread(t *testing.T, c *testenv.Containerd, id string, img testenv.Image) (client.Task, context.Context, unread) {
	t.Helper()
	cl, ctx := c.Client(t)
	container, err := c.NewContainer(t, cl, ctx, testenv.Spec{ID: id, Image: img, Args: []string{multi, "burst", "1"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = container.Delete(ctx, client.WithSnapshotCleanup) })
	io := makeFIFOs(t)
	task, err := container.NewTask(ctx, func(string) (cio.IO, error) { return io, nil })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = task.Delete(ctx, client.WithProcessKill) })
	if err := task.Start(ctx); err != nil {
		t.Fatal(err)
	}
	return task, ctx, io
}

// TestOutputWithoutAReader shows that only the guest waits for a reader.
func TestOutputWithoutAReader(t *testing.T) {
	var guests testenv.Guests
	img := guests.Multi(t, testenv.Wasm)
	c := testenv.StartContainerd(t, testenv.Newest)
	c.Import(t, img)

	t.Run("the guest waits and can be ended", func(t *testing.T) {
		task, ctx, _ := startUnread(t, c, "stuck", img)
		exit, err := task.Wait(ctx)
		if err != nil {
			t.Fatal(err)
		}
		select {
		case s := <-exit:
			t.Fatalf("the guest ended with %d though nobody read its output", s.ExitCode())
		case <-time.After(time.Second):
		}
		if err := task.Kill(ctx, syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if s := <-exit; s.ExitCode() != 143 {
			t.Errorf("exit status is %d, want 143", s.ExitCode())
		}
		begin := time.Now()
		if _, err := task.Delete(ctx); err != nil {
			t.Errorf("delete: %v", err)
		}
		if d := time.Since(begin); d > 10*time.Second {
			t.Errorf("delete took %s", d)
		}
	})
	t.Run("a late reader gets everything", func(t *testing.T) {
		task, ctx, fifos := startUnread(t, c, "late", img)
		exit, err := task.Wait(ctx)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond)
		n := read(t, fifos.config.Stdout, 100<<10) // this reader dies in the middle
		n += read(t, fifos.config.Stdout, -1)
		if n != 1<<20 {
			t.Errorf("%d bytes arrived, want %d", n, 1<<20)
		}
		if s := <-exit; s.ExitCode() != 0 {
			t.Errorf("exit status is %d, want 0", s.ExitCode())
		}
	})
}

// read takes limit bytes from a FIFO, or all if limit is negative.
func read(t *testing.T, path string, limit int64) int64 {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if limit >= 0 {
		n, err := io.CopyN(io.Discard, f, limit)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	n, err := io.Copy(io.Discard, f)
	if err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return n
}

// TestBurstAndExit shows that nothing of a burst is lost, however soon the
// guest ends after it.
func TestBurstAndExit(t *testing.T) {
	var guests testenv.Guests
	img := guests.Multi(t, testenv.Wasm)
	c := testenv.StartContainerd(t, testenv.Newest)
	c.Import(t, img)
	var want strings.Builder // what multi writes
	for i := range 8 << 20 / 64 {
		fmt.Fprintf(&want, "%063d\n", i)
	}
	for i := range 3 {
		k := c.Run(t, testenv.Spec{ID: fmt.Sprint("burst", i), Image: img, Args: []string{multi, "burst", "8"}})
		if status := k.Finish(t); status != 0 {
			t.Errorf("exit status is %d, want 0", status)
		}
		if got := k.Stdout.String(); got != want.String() {
			t.Errorf("%d bytes arrived, not the %d that were written", len(got), want.Len())
		}
	}
}
