package codecache

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/entry"
)

// mountTmpfs mounts a disk of our own until the end of the test.
func mountTmpfs(t *testing.T, path, options string) {
	t.Helper()
	needRoot(t)
	if err := unix.Mount("codecache-test", path, "tmpfs", 0, options); err != nil {
		t.Skipf("needs to mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { check(t, unix.Unmount(path, unix.MNT_DETACH)) })
}

// onDisk is a fixture on a file system of its own.
func onDisk(t *testing.T, options string, change ...func(*Config)) (f *fixture, disk string) {
	t.Helper()
	disk = t.TempDir()
	mountTmpfs(t, disk, options)
	return fixtureIn(t, filepath.Join(disk, "cache"), change...), disk
}

func (f *fixture) assertLogged(t *testing.T, want ...string) {
	t.Helper()
	lines := f.logged.lines()
	if len(lines) != len(want) {
		t.Fatalf("logged %q", lines)
	}
	for i, part := range want {
		if !strings.Contains(lines[i], part) || !strings.Contains(lines[i], "running without the code cache") {
			t.Errorf("logged %q without %q", lines[i], part)
		}
	}
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	f, _ := onDisk(t, "size=256k")
	small := moduleOf(t, "module")
	f.expect(t, small, Compiled, 1)
	for i := range int64(3) {
		f.expect(t, moduleOf(t, strings.Repeat(fmt.Sprint(i), 1<<20)), Bypassed, 2+i)
	}
	f.assertLogged(t, "no space left on device")
	f.assertTidy(t, 1)
	f.expect(t, small, Hit, 4)
}

func TestNoInodesLeft(t *testing.T) {
	t.Parallel()
	f, _ := onDisk(t, "nr_inodes=7")
	f.expect(t, moduleOf(t, "module"), Compiled, 1)
	for i := range int64(3) {
		f.expect(t, moduleOf(t, fmt.Sprint(i)), Bypassed, 2+i)
	}
	f.assertLogged(t, "no space left on device")
}

func TestDiskTooFullForTheDirectory(t *testing.T) {
	t.Parallel()
	f, _ := onDisk(t, "nr_inodes=2")
	m := moduleOf(t, "module")
	f.expect(t, m, Bypassed, 1)
	f.expect(t, m, Bypassed, 2)
	f.assertLogged(t, "no space left on device")
}

// None of them compiles before all of them do, but for the one they waited for.
func TestThoseWhoWaitForAFullDiskCompileAtOnce(t *testing.T) {
	t.Parallel()
	f, _ := onDisk(t, "size=128k")
	answers, _, compiled := f.runHelpers(t, 5, "together", moduleOf(t, strings.Repeat("m", 1<<20)))
	for _, a := range answers {
		if a.Outcome != Bypassed {
			t.Errorf("got %+v", a)
		}
	}
	if compiled != 5 {
		t.Errorf("%d compiles", compiled)
	}
}

func TestReadOnlyDisk(t *testing.T) {
	t.Parallel()
	f, disk := onDisk(t, "size=1m")
	m := moduleOf(t, "module")
	f.expect(t, m, Compiled, 1).Close()
	check(t, unix.Mount("", disk, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	f.expect(t, m, Hit, 1)
	f.again(t).expect(t, m, Hit, 0)
	f.expect(t, moduleOf(t, "another"), Bypassed, 2)
	f.expect(t, moduleOf(t, "a third"), Bypassed, 3)
	f.assertLogged(t, "read-only file system")
	check(t, unix.Mount("", disk, "", unix.MS_REMOUNT, ""))
	f.assertTidy(t, 1)
}

func TestDamagedEntryOnAReadOnlyDisk(t *testing.T) {
	t.Parallel()
	f, disk := onDisk(t, "size=1m")
	m := moduleOf(t, damagedModule)
	f.expect(t, m, Compiled, 1).Close()
	check(t, flip(f.entryPath(damagedModule), 300))
	check(t, unix.Mount("", disk, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	f.expect(t, m, Bypassed, 2)
	f.assertLogged(t, "read-only file system")
}

func TestReadOnlyDiskWithoutDirectory(t *testing.T) {
	t.Parallel()
	f, disk := onDisk(t, "size=1m")
	check(t, unix.Mount("", disk, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	f.expect(t, moduleOf(t, "module"), Bypassed, 1)
	f.assertLogged(t, "read-only file system")
}

func TestDirectoryIsMadeForRootOnly(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	parent := f.dir
	f = fixtureIn(t, filepath.Join(parent, "new", "cache"))
	f.expect(t, moduleOf(t, "module"), Compiled, 1)
	for path, want := range map[string]os.FileMode{
		parent: 0o755, filepath.Join(parent, "new"): 0o755, f.dir: 0o700, filepath.Join(f.dir, "entries"): 0o700,
		filepath.Join(f.dir, "locks"): 0o700, filepath.Join(f.dir, "digests"): 0o700, f.entryPath("module"): 0o600,
	} {
		info, err := os.Stat(path)
		check(t, err)
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
	}
}

// Whoever could exchange machine code in the cache would own every guest.
func TestDirectoriesThatOthersMayTouchAreRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		spoil func(dir string) error
		says  string
	}{
		"a symlink":               {func(dir string) error { return errors.Join(os.Rename(dir, dir+"2"), os.Symlink(dir+"2", dir)) }, "symbolic link"},
		"a file":                  {func(dir string) error { return errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)) }, "not a directory"},
		"another owner's":         {func(dir string) error { return os.Chown(dir, 1000, 0) }, "chown root"},
		"readable by a group":     {func(dir string) error { return os.Chmod(dir, 0o750) }, "chmod 700"},
		"entered by the world":    {func(dir string) error { return os.Chmod(dir, 0o701) }, "chmod 700"},
		"with entries of another": {func(dir string) error { return os.Chown(dir+"/entries", 1000, 0) }, "chown root"},
		"with a symlink inside": {func(dir string) error {
			return errors.Join(os.Rename(dir+"/entries", dir+"/e"), os.Symlink("e", dir+"/entries"))
		}, "symbolic link"},
		"with a file inside": {func(dir string) error {
			return errors.Join(os.RemoveAll(dir+"/locks"), os.WriteFile(dir+"/locks", nil, 0o600))
		}, "not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			m := moduleOf(t, "module")
			f.expect(t, m, Compiled, 1).Close()
			check(t, test.spoil(f.dir))
			f.expect(t, m, Bypassed, 2)
			f.expect(t, m, Bypassed, 3)
			f.assertLogged(t, test.says)
			if _, err := f.List(); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("List: %v", err)
			}
		})
	}
}

func TestParentThatIsNoDirectory(t *testing.T) {
	t.Parallel()
	f := fixtureIn(t, "/proc/self/exe/cache")
	f.expect(t, moduleOf(t, "module"), Bypassed, 1)
	f.assertLogged(t, "not a directory")
}

func TestSwitchedOff(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) { c.Disabled = true })
	m := moduleOf(t, "module")
	code := f.expect(t, m, Bypassed, 1)
	f.expect(t, m, Bypassed, 2)
	f.assertLogged(t)
	if _, err := os.Stat(f.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory: %v", err)
	}
	assertUnwritable(t, code.File, unix.EPERM)
}

func TestCodeLargerThanTheCache(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) { c.MaxSize = 100 << 10 })
	small := moduleOf(t, "module")
	f.expect(t, small, Compiled, 1).Close()
	large := moduleOf(t, strings.Repeat("m", 100<<10))
	f.expect(t, large, Bypassed, 2)
	f.expect(t, large, Bypassed, 3)
	f.assertLogged(t, "raise cache_size")
	f.expect(t, small, Hit, 3) // it did not have to go for nothing
}

func TestDirectoryThatVanishes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := moduleOf(t, "module")
	code := f.expect(t, m, Compiled, 1)
	check(t, os.RemoveAll(f.dir))
	f.expect(t, m, Compiled, 2)
	f.expect(t, m, Hit, 2)
	if _, err := entry.Verify(code.File, code.Digest, entry.Current()); err != nil {
		t.Errorf("code in use: %v", err)
	}
}
