package codecache

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Whatever happens at the same time, everybody gets the code of their module.
func TestEverythingAtOnce(t *testing.T) {
	t.Parallel()
	first := newFixture(t)
	first.config.MaxSize = 4 * moduleSize
	fixtures := []*fixture{first}
	for range 3 { // other shims, as far as files and locks can tell
		f := first.again(t)
		f.config.MaxSize = first.config.MaxSize
		fixtures = append(fixtures, f)
	}
	paths := make([]string, 5)
	for i := range paths {
		paths[i] = moduleOf(t, numbered(i)).File.Name()
	}
	deadline := time.Now().Add(time.Second)
	var wg sync.WaitGroup
	work := func(n int, once func(*fixture)) {
		for i := range n {
			wg.Go(func() {
				for time.Now().Before(deadline) {
					once(fixtures[i%len(fixtures)])
				}
			})
		}
	}
	work(8, func(f *fixture) {
		file, err := os.Open(paths[rand.IntN(len(paths))])
		if err != nil {
			t.Error(err)
			return
		}
		defer file.Close()
		m := Module{File: file, Name: file.Name()}
		code, err := f.Get(t.Context(), m)
		if err != nil {
			t.Error(err)
			return
		}
		f.assertCodeOf(t, code, m)
		if code.Outcome == Bypassed {
			t.Errorf("bypassed: %q", f.logged.lines())
		}
		if rand.IntN(4) == 0 {
			again, err := f.Replace(t.Context(), m, code)
			if err != nil {
				t.Error(err)
			} else {
				f.assertCodeOf(t, again, m)
				again.Close()
			}
		}
		f.assertCodeOf(t, code, m)
		code.Close()
	})
	tool := func(once func(f *fixture) error) {
		work(1, func(f *fixture) {
			if err := once(f); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Millisecond)
		})
	}
	tool(func(f *fixture) error { _, err := f.List(); return err })
	tool(func(f *fixture) error { _, err := f.Verify(); return err })
	tool(func(f *fixture) error { _, err := f.Prune(int64(rand.IntN(5 * moduleSize))); return err })
	tool(func(*fixture) error {
		path := first.entryPath(numbered(rand.IntN(len(paths))))
		switch rand.IntN(3) {
		case 0:
			_ = os.Remove(path)
		case 1:
			_ = os.Symlink("/nowhere", path)
		case 2:
			// Entries in use must not be damaged in place: their users share
			// the file.
			damaged := filepath.Join(first.dir, "damaged")
			_ = os.WriteFile(damaged, []byte("damaged"), 0o600)
			_ = os.Rename(damaged, path)
		}
		return nil
	})
	wg.Wait()
	compiled := int64(0)
	for _, f := range fixtures {
		compiled += f.compiled.Load()
		if len(f.stored) != 0 || len(f.flights) != 0 {
			t.Errorf("remembers %v and %v", f.stored, f.flights)
		}
	}
	t.Logf("%d compiles", compiled)
	if _, err := first.Verify(); err != nil {
		t.Error(err)
	}
	if _, err := first.Prune(0); err != nil {
		t.Error(err)
	}
	first.assertTidy(t, 0)
}
