package codecache

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/entry"
)

const damagedModule = "the module whose entry is damaged"

// damages are what can be in an entry's place; path is the intact entry.
var damages = map[string]func(t *testing.T, path string) error{
	"empty":                       func(_ *testing.T, path string) error { return os.Truncate(path, 0) },
	"without its end":             func(t *testing.T, path string) error { return os.Truncate(path, sizeOf(t, path)-1) },
	"with more":                   func(t *testing.T, path string) error { return os.Truncate(path, sizeOf(t, path)+1) },
	"half a header":               func(_ *testing.T, path string) error { return os.Truncate(path, 100) },
	"flipped in magic":            func(_ *testing.T, path string) error { return flip(path, 0) },
	"flipped in the engine's key": func(_ *testing.T, path string) error { return flip(path, 50) },
	"flipped in a size":           func(_ *testing.T, path string) error { return flip(path, 88) },
	"flipped in the offset":       func(_ *testing.T, path string) error { return flip(path, 105) },
	"flipped in a sum":            func(_ *testing.T, path string) error { return flip(path, 200) },
	"flipped in the prefix":       func(_ *testing.T, path string) error { return flip(path, 257) },
	"flipped in the padding":      func(_ *testing.T, path string) error { return flip(path, 300) },
	"flipped in the code":         func(t *testing.T, path string) error { return flip(path, sizeOf(t, path)-8) },
	"flipped in the tail":         func(t *testing.T, path string) error { return flip(path, sizeOf(t, path)-1) },
	"another module's": func(_ *testing.T, path string) error {
		return exchange(path, []byte("another"), func(*entry.Header) {})
	},
	"another module's of the same size": func(_ *testing.T, path string) error {
		return exchange(path, []byte(strings.ToUpper(damagedModule)), func(*entry.Header) {})
	},
	"for another wazero": func(_ *testing.T, path string) error {
		return exchange(path, []byte(damagedModule), func(h *entry.Header) { h.Engine = "wazero v1.11.0 amd64" })
	},
	"of another format": otherFormat,
	"a symlink to an intact one": func(_ *testing.T, path string) error {
		moved := filepath.Join(filepath.Dir(filepath.Dir(path)), "moved")
		return errors.Join(os.Rename(path, moved), os.Symlink(moved, path))
	},
	"a dangling symlink": func(_ *testing.T, path string) error {
		return errors.Join(os.Remove(path), os.Symlink("/nowhere", path))
	},
	"a hard link to a damaged one": func(_ *testing.T, path string) error {
		return errors.Join(os.Link(path, path+".link"), flip(path, 300), os.Rename(path+".link", filepath.Join(filepath.Dir(filepath.Dir(path)), "link")))
	},
	"an empty directory": func(_ *testing.T, path string) error {
		return errors.Join(os.Remove(path), os.Mkdir(path, 0o755))
	},
	"a fifo": func(_ *testing.T, path string) error {
		return errors.Join(os.Remove(path), unix.Mkfifo(path, 0o600))
	},
	"a device": func(_ *testing.T, path string) error {
		return errors.Join(os.Remove(path), unix.Mknod(path, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 5))))
	},
	"a socket": func(t *testing.T, path string) error {
		check(t, os.Remove(path))
		// The path is too long for an address.
		l, err := net.Listen("unix", short(t, path))
		if err != nil {
			return err
		}
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		return l.Close()
	},
}

// short is another path of the same file.
func short(t *testing.T, path string) string {
	dir, err := os.Open(filepath.Dir(path))
	check(t, err)
	t.Cleanup(func() { dir.Close() })
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path))
}

func sizeOf(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	check(t, err)
	return info.Size()
}

func flip(path string, offset int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], offset); err != nil {
		return err
	}
	b[0] ^= 4
	_, err = f.WriteAt(b[:], offset)
	return err
}

func exchange(path string, content []byte, change func(*entry.Header)) error {
	data, err := bytesOf(sealedEntry(content, change))
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}

func otherFormat(_ *testing.T, path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	data[8]++
	sum := sha256.Sum256(data[:224])
	copy(data[224:], sum[:])
	return os.WriteFile(path, data, 0o600)
}

func TestWhatCannotBeUsedIsReplaced(t *testing.T) {
	t.Parallel()
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			m := moduleOf(t, damagedModule)
			f.expect(t, m, Compiled, 1).Close()
			check(t, damage(t, f.entryPath(damagedModule)))
			f.expect(t, m, Repaired, 2).Close()
			f.expect(t, m, Hit, 2)
			f.again(t).expect(t, m, Hit, 0)
			f.assertTidy(t, 1)
		})
	}
}

// Damage is found even while the intact entry was in use a moment ago.
func TestDamageIsFoundWhileTheEntryIsInUse(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := moduleOf(t, damagedModule)
	f.expect(t, m, Compiled, 1) // stays in use
	check(t, flip(f.entryPath(damagedModule), 300))
	f.expect(t, m, Repaired, 2)
}

func TestDamagedEntryIsNotUsedWhenTheModuleIsRefusedNow(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := moduleOf(t, damagedModule)
	f.expect(t, m, Compiled, 1).Close()
	check(t, flip(f.entryPath(damagedModule), 300))
	g := f.again(t, failing(&Refused{Reason: "no"}))
	if _, err := g.Get(t.Context(), m); err == nil || err.Error() != "no" {
		t.Errorf("got %v", err)
	}
	f.assertTidy(t, 0)
}

// A directory in an entry's place is removed with everything in it, and nothing
// outside of it.
func TestDirectoryInAnEntrysPlace(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := moduleOf(t, damagedModule)
	f.expect(t, m, Compiled, 1).Close()
	path := f.entryPath(damagedModule)
	outside := t.TempDir()
	precious := filepath.Join(outside, "precious")
	check(t, errors.Join(
		os.WriteFile(precious, []byte("x"), 0o600), os.Remove(path), os.MkdirAll(path+"/a/b/c", 0o700),
		os.Symlink(outside, path+"/a/link"), os.Symlink(precious, path+"/file"), os.WriteFile(path+"/a/b/f", nil, 0o000)))
	f.expect(t, m, Repaired, 2)
	if _, err := os.Stat(precious); err != nil {
		t.Error("something outside has been removed")
	}
	f.assertTidy(t, 1)
}

// What cannot be removed is left alone: here a mount.
func TestMountInAnEntrysPlace(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := moduleOf(t, damagedModule)
	f.expect(t, m, Compiled, 1).Close()
	path := f.entryPath(damagedModule)
	check(t, errors.Join(os.Remove(path), os.Mkdir(path, 0o700)))
	mountTmpfs(t, path, "size=64k")
	f.expect(t, m, Bypassed, 2)
	if n := len(f.logged.lines()); n != 1 {
		t.Errorf("%d lines: %q", n, f.logged.lines())
	}
}

func TestLockThatIsNoFile(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := moduleOf(t, damagedModule)
	f.expect(t, m, Compiled, 1).Close()
	path := f.entryPath(damagedModule)
	check(t, errors.Join(os.Remove(path), os.Symlink("/nowhere", filepath.Join(f.dir, "locks", filepath.Base(path)))))
	f.expect(t, m, Bypassed, 2)
}

// Somebody who got hold of an entry could lock it for ever.
func TestExclusiveLockDoesNotKeepTheEntryFromOthers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := moduleOf(t, damagedModule)
	f.expect(t, m, Compiled, 1).Close()
	file, err := os.Open(f.entryPath(damagedModule))
	check(t, err)
	defer file.Close()
	check(t, unix.Flock(int(file.Fd()), unix.LOCK_EX))
	begin := time.Now()
	f.expect(t, m, Compiled, 2).Close()
	if d := time.Since(begin); d > 5*time.Second {
		t.Errorf("it took %v", d)
	}
	f.expect(t, m, Hit, 2)
}
