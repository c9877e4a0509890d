package codecache

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/entry"
)

// A hint may be wrong although nobody has lied: clocks and file systems do.
func TestReplaceAfterAWrongHint(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	other := f.expect(t, moduleOf(t, "mODULE"), Compiled, 1)
	m := f.oldModule(t, "module")
	id, err := identify(m)
	check(t, err)
	path := filepath.Join(f.dir, "digests", id.name)
	check(t, os.Symlink(other.Digest.String(), path))
	stale, err := f.Get(t.Context(), m)
	check(t, err)
	defer stale.Close()
	if stale.Outcome != Hit || stale.Digest != other.Digest {
		t.Fatalf("got %+v", stale)
	}
	right, err := f.Replace(t.Context(), m, stale)
	check(t, err)
	defer right.Close()
	f.assertCodeOf(t, right, m)
	if right.Outcome != Repaired || f.compiled.Load() != 2 {
		t.Errorf("%s after %d compiles", right.Outcome, f.compiled.Load())
	}
	if target, err := os.Readlink(path); err != nil || target != digestOf("module").String() {
		t.Errorf("remembered %q, %v", target, err)
	}
	f.expect(t, m, Hit, 2)
	// The other module's entry was never wrong.
	f.expect(t, moduleOf(t, "mODULE"), Hit, 2)
}

// A given digest may be wrong, if a content store lies.
func TestReplaceAfterAWrongDigest(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	other := f.expect(t, moduleOf(t, "mODULE"), Compiled, 1)
	m := moduleOf(t, "module")
	m.Digest = &other.Digest
	stale, err := f.Get(t.Context(), m)
	check(t, err)
	defer stale.Close()
	right, err := f.Replace(t.Context(), m, stale)
	check(t, err)
	defer right.Close()
	f.assertCodeOf(t, right, m)
	if m.Digest != &other.Digest {
		t.Error("the caller's module was changed")
	}
}

// liar is a compiler that returns an entry with the right names and wrong code the
// first time: only the runner, who knows the engine's key, can tell.
func liar(c *Config) {
	lies := 1
	c.Compile = func(ctx context.Context, m Module, d entry.Digest) (*os.File, error) {
		if lies--; lies >= 0 {
			return sealedEntry([]byte("MODULE"), func(h *entry.Header) { h.Module = d })
		}
		return compileModule(ctx, m, d)
	}
}

func TestReplaceOfAWrongEntry(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Config){
		"stored":   func(*Config) {},
		"bypassed": func(c *Config) { c.Disabled = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, liar, change)
			m := moduleOf(t, "module")
			stale, err := f.Get(t.Context(), m)
			check(t, err)
			defer stale.Close()
			again, err := f.Get(t.Context(), m) // another container of the module
			check(t, err)
			defer again.Close()
			right, err := f.Replace(t.Context(), m, stale)
			check(t, err)
			defer right.Close()
			f.assertCodeOf(t, right, m)
			if name == "bypassed" {
				if right.Outcome != Bypassed {
					t.Errorf("outcome %s", right.Outcome)
				}
				return
			}
			if right.Outcome != Repaired || f.compiled.Load() != 2 {
				t.Errorf("%s after %d compiles", right.Outcome, f.compiled.Load())
			}
			// The entry that the second one complains about is gone already.
			rightToo, err := f.Replace(t.Context(), m, again)
			check(t, err)
			defer rightToo.Close()
			if rightToo.Outcome != Repaired || f.compiled.Load() != 2 {
				t.Errorf("%s after %d compiles", rightToo.Outcome, f.compiled.Load())
			}
			f.expect(t, m, Hit, 2)
			f.assertTidy(t, 1)
		})
	}
}

func TestReplaceOfAWrongEntryOnAReadOnlyDisk(t *testing.T) {
	t.Parallel()
	f, disk := onDisk(t, "size=1m", liar)
	m := moduleOf(t, "module")
	stale, err := f.Get(t.Context(), m)
	check(t, err)
	defer stale.Close()
	check(t, unix.Mount("", disk, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	right, err := f.Replace(t.Context(), m, stale)
	check(t, err)
	defer right.Close()
	f.assertCodeOf(t, right, m)
	if right.Outcome != Bypassed {
		t.Errorf("outcome %s", right.Outcome)
	}
}

func TestReplaceWithoutFile(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := moduleOf(t, "module")
	stale := f.expect(t, m, Compiled, 1)
	m.File.Close()
	if _, err := f.Replace(t.Context(), m, stale); !errors.Is(err, os.ErrClosed) && !errors.Is(err, unix.EBADF) {
		t.Errorf("got %v", err)
	}
	f.assertTidy(t, 1)
}
