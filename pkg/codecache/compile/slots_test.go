package compile

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// manySlots returns n of them, which stand for n shims of a node.
func manySlots(dir string, n, count int) []*slots {
	var all []*slots
	for range n {
		all = append(all, newSlots(dir, count, &once{}))
	}
	return all
}

func TestNoMoreCompilersThanSlots(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "slots")
	const count = 2
	var mu sync.Mutex
	used := map[int]bool{}
	var wg sync.WaitGroup
	for _, s := range manySlots(dir, 8, count) {
		wg.Go(func() {
			for range 5 {
				got, err := s.acquire(t.Context(), patience)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if used[got.number] || got.number >= count {
					t.Errorf("slot %d is given twice", got.number)
				}
				used[got.number] = true
				mu.Unlock()
				time.Sleep(time.Millisecond)
				mu.Lock()
				used[got.number] = false
				mu.Unlock()
				got.release()
			}
		})
	}
	wg.Wait()
	info, err := os.Stat(dir)
	must(t, err)
	if info.Mode().Perm() != 0o700 {
		t.Errorf("%s is %s", dir, info.Mode())
	}
}

func TestWaitForASlotIsBounded(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	for name, dir := range map[string]string{"files": t.TempDir(), "no directory": "", "an impossible one": file + "/slots"} {
		s := newSlots(dir, 1, &once{})
		got, err := s.acquire(t.Context(), patience)
		must(t, err)
		_, err = s.acquire(t.Context(), 20*time.Millisecond)
		if !errors.Is(err, ErrLimit) || !strings.Contains(err.Error(), "1 compilers have been busy with other modules for 20ms: raise compile_parallel") {
			t.Errorf("%s: %v", name, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err = s.acquire(ctx, patience); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
		got.release()
		again, err := s.acquire(t.Context(), patience)
		must(t, err)
		again.release()
	}
}

func TestSlotFilesLeadNowhere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	victim := filepath.Join(t.TempDir(), "victim")
	must(t, os.Symlink(victim, filepath.Join(dir, "slot-0")))
	s := newSlots(dir, 1, &once{})
	got, err := s.acquire(t.Context(), patience) // counted here instead
	must(t, err)
	got.release()
	if _, err := os.Lstat(victim); err == nil {
		t.Error("a file was made elsewhere")
	}
}

func TestWaitingModuleIsCompiledWhenTheSlotIsFree(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	busy := hostile(t, "hangs", Config{Slots: dir, Parallel: 1, Timeout: 500 * time.Millisecond})
	ended := make(chan time.Time, 1)
	go func() {
		_, _, err := busy.compile(anyModule(t))
		ended <- time.Now()
		if !errors.Is(err, ErrLimit) {
			t.Error(err)
		}
	}()
	busy.pid()
	_, _, err := newSubject(t, realCompiler, Config{Slots: dir, Parallel: 1}).compile(wat(t, `(module)`))
	done := time.Now()
	must(t, err)
	if first := <-ended; done.Before(first) {
		t.Error("two compilers ran at once")
	}
}
