package codecache

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/entry"
)

const moduleSize = 64 << 10

// numbered is the content of one of many modules of the same size.
func numbered(i int) string { return fmt.Sprint(i) + strings.Repeat("m", moduleSize)[1:] }

// bounded holds three entries of numbered modules and a bit.
func bounded(t *testing.T) *fixture {
	t.Helper()
	f := newFixture(t)
	code := f.mustGet(t, moduleOf(t, numbered(0)))
	code.Close()
	f.config.MaxSize = 3*code.Size + code.Size/2
	f.compiled.Store(0)
	check(t, os.Remove(f.entryPath(numbered(0))))
	return f
}

// present lists which modules have an entry.
func (f *fixture) present(t *testing.T) (list []int) {
	t.Helper()
	for i := range 10 {
		if _, err := os.Lstat(f.entryPath(numbered(i))); err == nil {
			list = append(list, i)
		}
	}
	return list
}

func (f *fixture) assertPresent(t *testing.T, want ...int) {
	t.Helper()
	if got := f.present(t); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("there are the entries %v instead of %v", got, want)
	}
}

// usedAt sets the last use of an entry.
func (f *fixture) usedAt(t *testing.T, i int, at time.Time) {
	t.Helper()
	check(t, os.Chtimes(f.entryPath(numbered(i)), at, time.Time{}))
}

func TestLeastRecentlyUsedGoes(t *testing.T) {
	t.Parallel()
	f := bounded(t)
	now := time.Now()
	for i := range 3 {
		f.expect(t, moduleOf(t, numbered(i)), Compiled, int64(i)+1).Close()
		f.usedAt(t, i, now.Add(time.Duration(i-10)*time.Hour))
	}
	f.expect(t, moduleOf(t, numbered(0)), Hit, 3).Close()
	f.expect(t, moduleOf(t, numbered(3)), Compiled, 4).Close()
	f.assertPresent(t, 0, 2, 3)
	f.expect(t, moduleOf(t, numbered(4)), Compiled, 5).Close()
	f.assertPresent(t, 0, 3, 4)
	f.expect(t, moduleOf(t, numbered(1)), Compiled, 6).Close()
	f.assertTidy(t, 3)
}

func TestUseByAnotherProcessCounts(t *testing.T) {
	t.Parallel()
	f := bounded(t)
	for i := range 3 {
		f.expect(t, moduleOf(t, numbered(i)), Compiled, int64(i)+1).Close()
		f.usedAt(t, i, time.Now().Add(time.Duration(i-10)*time.Hour))
	}
	f.again(t).expect(t, moduleOf(t, numbered(0)), Hit, 0).Close()
	f.expect(t, moduleOf(t, numbered(3)), Compiled, 4).Close()
	f.assertPresent(t, 0, 2, 3)
}

func TestEntriesInUseStay(t *testing.T) {
	t.Parallel()
	f := bounded(t)
	old := time.Now().Add(-time.Hour)
	for i := range 3 {
		f.expect(t, moduleOf(t, numbered(i)), Compiled, int64(i)+1) // stay in use
	}
	other := f.again(t)
	other.config.MaxSize = f.config.MaxSize
	for i := range 3 {
		f.usedAt(t, i, old)
	}
	other.expect(t, moduleOf(t, numbered(3)), Compiled, 1).Close()
	f.assertPresent(t, 0, 1, 2, 3) // larger than allowed, and nothing could go
	other.expect(t, moduleOf(t, numbered(4)), Compiled, 2).Close()
	f.assertPresent(t, 0, 1, 2, 4)
}

// An entry whose name goes while it is in use stays what it is for its users.
func TestUserOfARemovedEntryKeepsIt(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := moduleOf(t, numbered(0))
	code := f.expect(t, m, Compiled, 1)
	if _, err := f.Remove(code.Digest.String(), true); err != nil {
		t.Fatal(err)
	}
	f.assertPresent(t)
	f.expect(t, m, Compiled, 2)
	f.assertCodeOf(t, code, m)
}

func TestClockSetBack(t *testing.T) {
	t.Parallel()
	f := bounded(t)
	now := time.Now()
	for i := range 3 {
		f.expect(t, moduleOf(t, numbered(i)), Compiled, int64(i)+1).Close()
		f.usedAt(t, i, now.Add(-time.Hour))
	}
	// The clock was a year ahead when this one was used.
	f.usedAt(t, 1, now.AddDate(1, 0, 0))
	f.expect(t, moduleOf(t, numbered(3)), Compiled, 4).Close()
	f.assertPresent(t, 0, 2, 3)
	// It is as good as any when it is used again.
	f.usedAt(t, 2, now.AddDate(1, 0, 0))
	f.again(t).expect(t, moduleOf(t, numbered(2)), Hit, 0).Close()
	f.expect(t, moduleOf(t, numbered(4)), Compiled, 5).Close()
	f.assertPresent(t, 2, 3, 4)
}

func TestTimeOfUseIsSetByHitsOnly(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := moduleOf(t, numbered(0))
	f.expect(t, m, Compiled, 1).Close()
	long := time.Now().Add(-100 * time.Hour).Truncate(time.Second)
	f.usedAt(t, 0, long)
	if _, err := f.Verify(); err != nil {
		t.Error(err)
	}
	list, err := f.List()
	check(t, err)
	if len(list) != 1 || !list[0].Used.Equal(long) {
		t.Errorf("got %+v", list)
	}
	f.expect(t, m, Hit, 1).Close()
	if list, err = f.List(); err != nil || time.Since(list[0].Used) > time.Minute {
		t.Errorf("got %+v, %v", list, err)
	}
}

func TestSizeBoundCountsDamagedEntries(t *testing.T) {
	t.Parallel()
	f := bounded(t)
	junk := filepath.Join(f.dir, "entries", entry.Digest{1}.String())
	check(t, os.WriteFile(junk, make([]byte, f.config.MaxSize), 0o600))
	check(t, os.Chtimes(junk, time.Now().Add(-time.Hour), time.Time{}))
	f.expect(t, moduleOf(t, numbered(0)), Compiled, 1).Close()
	f.assertTidy(t, 1)
}
