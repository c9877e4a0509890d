package codecache

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/entry"
)

// stored makes entries of the numbered modules, the last one used last.
func (f *fixture) store(t *testing.T, n int) (codes []*Code) {
	t.Helper()
	for i := range n {
		codes = append(codes, f.expect(t, moduleOf(t, numbered(i)), Compiled, int64(i)+1))
		f.usedAt(t, i, time.Now().Add(time.Duration(i-n)*time.Minute))
	}
	return codes
}

func closeAll(codes []*Code) {
	for _, c := range codes {
		c.Close()
	}
}

// putOther stores an entry for another engine, as an older shim did.
func (f *fixture) putOther(t *testing.T, content string, engine entry.Engine) string {
	t.Helper()
	path := filepath.Join(f.dir, "entries", keyOf(digestOf(content), engine).String())
	check(t, exchange(path, []byte(content), func(h *entry.Header) { h.Engine = engine }))
	return path
}

func TestListTellsWhatIsThere(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if list, err := f.List(); err != nil || len(list) != 0 {
		t.Errorf("without a directory: %v, %v", list, err)
	}
	codes := f.store(t, 2)
	codes[0].Close()
	old := f.putOther(t, numbered(0), "wazero v1.0.0 amd64")
	check(t, os.Chtimes(old, time.Now().Add(-time.Hour), time.Now().Add(-2*time.Hour)))
	list, err := f.List()
	check(t, err)
	if len(list) != 3 {
		t.Fatalf("got %+v", list)
	}
	for i, want := range []Entry{
		{Key: codes[1].code.key, Module: codes[1].Digest, ModuleSize: moduleSize, Engine: entry.Current(), Size: codes[1].Size, InUse: true, Current: true},
		{Key: codes[0].code.key, Module: codes[0].Digest, ModuleSize: moduleSize, Engine: entry.Current(), Size: codes[0].Size, Current: true},
		{Key: keyOf(codes[0].Digest, "wazero v1.0.0 amd64"), Module: codes[0].Digest, ModuleSize: moduleSize, Engine: "wazero v1.0.0 amd64", Size: codes[0].Size},
	} {
		got := list[i]
		if age := time.Since(got.Used); age < 0 || age > 2*time.Hour || got.Created.IsZero() {
			t.Errorf("created %v, used %v", got.Created, got.Used)
		}
		got.Created, got.Used = time.Time{}, time.Time{}
		if got != want {
			t.Errorf("%d: %+v instead of %+v", i, got, want)
		}
	}
}

func TestListTellsWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.expect(t, moduleOf(t, damagedModule), Compiled, 1).Close()
			check(t, damage(t, f.entryPath(damagedModule)))
			list, err := f.List()
			check(t, err)
			if len(list) != 1 {
				t.Fatalf("got %+v", list)
			}
			// Damage below the header is for Verify to find.
			if name == "a hard link to a damaged one" || strings.HasPrefix(name, "flipped in the ") && !strings.HasSuffix(name, "offset") && !strings.HasSuffix(name, "key") {
				return
			}
			if list[0].Problem == "" || list[0].Current {
				t.Errorf("got %+v", list[0])
			}
		})
	}
}

func TestRemove(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	codes := f.store(t, 3)
	closeAll(codes[1:])
	f.putOther(t, numbered(1), "wazero v1.0.0 amd64")
	for prefix, says := range map[string]string{
		"": "say which module", "xyz": "no compiled code", codes[0].Digest.String() + "0": "no compiled code",
		codes[0].Digest.String(): "in use",
	} {
		if removed, err := f.Remove(prefix, false); err == nil || !strings.Contains(err.Error(), says) || removed != nil {
			t.Errorf("%q: %v, %v", prefix, removed, err)
		}
	}
	f.assertTidy(t, 4)
	// The module's code for every engine goes.
	removed, err := f.Remove("sha256:"+codes[1].Digest.String()[:12], false)
	if check(t, err); len(removed) != 2 {
		t.Errorf("removed %+v", removed)
	}
	f.assertPresent(t, 0, 2)
	if removed, err = f.Remove(codes[2].code.key.String()[:12], false); err != nil || len(removed) != 1 {
		t.Errorf("removed %+v, %v", removed, err)
	}
	if removed, err = f.Remove(codes[0].Digest.String(), true); err != nil || len(removed) != 1 {
		t.Errorf("removed %+v, %v", removed, err)
	}
	f.assertTidy(t, 0)
	f.assertCodeOf(t, codes[0], moduleOf(t, numbered(0)))
}

func TestRemoveWantsOneModule(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	// Two of 17 digests begin with the same digit.
	for i := range 17 {
		f.expect(t, moduleOf(t, fmt.Sprint(i)), Compiled, int64(i)+1).Close()
	}
	ambiguous := 0
	for _, digit := range "0123456789abcdef" {
		if _, err := f.Remove(string(digit), true); err != nil && strings.Contains(err.Error(), "give more digits") {
			ambiguous++
		}
	}
	if ambiguous == 0 {
		t.Error("two modules were removed by one digit")
	}
}

func TestRemoveOfWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	path := f.entryPath(damagedModule)
	f.expect(t, moduleOf(t, damagedModule), Compiled, 1).Close()
	check(t, errors.Join(os.Remove(path), os.Mkdir(path, 0o700)))
	if removed, err := f.Remove(filepath.Base(path), false); err != nil || len(removed) != 1 {
		t.Errorf("removed %+v, %v", removed, err)
	}
	f.assertTidy(t, 0)
}

func TestPruneRemovesWhatIsOfNoUse(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if p, err := f.Prune(0); err != nil || len(p.Entries) != 0 {
		t.Errorf("without a directory: %+v, %v", p, err)
	}
	closeAll(f.store(t, 3))
	m := f.oldModule(t, damagedModule)
	f.expect(t, m, Compiled, 4).Close()
	if n := len(f.hints(t)); n != 1 {
		t.Fatalf("%d hints", n)
	}
	f.putOther(t, numbered(0), "wazero v1.0.0 amd64")
	check(t, errors.Join(
		os.Truncate(f.entryPath(damagedModule), 100),
		os.Symlink("/nowhere", filepath.Join(f.dir, "entries", entry.Digest{9}.String())),
		os.WriteFile(filepath.Join(f.dir, "entries", temporary+"x"), []byte("x"), 0o600),
		os.MkdirAll(filepath.Join(f.dir, "entries", temporary+"y", "z"), 0o700),
		os.WriteFile(filepath.Join(f.dir, "entries", "README"), []byte("somebody's own"), 0o600),
		os.WriteFile(filepath.Join(f.dir, "locks", entry.Digest{9}.String()), nil, 0o600),
		os.Symlink("x", filepath.Join(f.dir, "digests", "junk"))))
	p, err := f.Prune(1 << 30)
	check(t, err)
	if len(p.Entries) != 3 || p.Leftovers != 3 || p.Hints != 2 || p.Size < moduleSize+100 {
		t.Errorf("removed %+v", p)
	}
	f.assertPresent(t, 0, 1, 2)
	check(t, os.Remove(filepath.Join(f.dir, "entries", "README")))
	f.assertTidy(t, 3)
	// And the size.
	f.mustGet(t, moduleOf(t, numbered(0)))
	if p, err = f.Prune(1); err != nil || len(p.Entries) != 2 {
		t.Errorf("removed %+v, %v", p, err)
	}
	f.assertPresent(t, 0) // in use
}

func TestPruneLeavesLocksThatAreHeld(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	d, err := f.openDir()
	check(t, err)
	defer d.close()
	l, err := d.lock(entry.Digest{7})
	check(t, err)
	if p, err := f.Prune(0); err != nil || p.Leftovers != 0 {
		t.Errorf("%+v, %v", p, err)
	}
	l.release(nil)
	f.assertTidy(t, 0)
}

func TestPruneKeepsHintsThatAreGood(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.expect(t, f.oldModule(t, "module"), Compiled, 1)
	if p, err := f.Prune(1 << 30); err != nil || p.Hints != 0 || len(f.hints(t)) != 1 {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestVerifyRemovesDamagedEntries(t *testing.T) {
	t.Parallel()
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			closeAll(f.store(t, 2))
			f.expect(t, moduleOf(t, damagedModule), Compiled, 3).Close()
			f.putOther(t, numbered(1), "wazero v1.0.0 amd64")
			check(t, damage(t, f.entryPath(damagedModule)))
			v, err := f.Verify()
			check(t, err)
			if name == "of another format" {
				if v.Intact != 3 || v.Unknown != 1 || len(v.Removed) != 0 {
					t.Errorf("got %+v", v)
				}
				return
			}
			if v.Intact != 3 || v.Unknown != 0 || len(v.Removed) != 1 || v.Removed[0].Problem == "" {
				t.Errorf("got %+v", v)
			}
			f.assertTidy(t, 3)
		})
	}
}

func TestVerifySaysWhatItCannotRemove(t *testing.T) {
	t.Parallel()
	f, disk := onDisk(t, "size=1m")
	f.expect(t, moduleOf(t, damagedModule), Compiled, 1).Close()
	check(t, flip(f.entryPath(damagedModule), 300))
	check(t, unix.Mount("", disk, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	v, err := f.Verify()
	if err == nil || !strings.Contains(err.Error(), "read-only file system") || len(v.Removed) != 1 {
		t.Errorf("got %+v, %v", v, err)
	}
}
