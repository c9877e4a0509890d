package codecache

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// assertUnwritable does what root in a container could try with the descriptor.
// The expected error is that of opening or of writing.
func assertUnwritable(t *testing.T, f *os.File, want error) {
	t.Helper()
	if _, err := f.WriteAt([]byte("x"), 300); err == nil {
		t.Error("it is open for writing")
	}
	for _, flag := range []int{os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC} {
		err := openAndWrite(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), flag)
		if !errors.Is(err, want) {
			t.Errorf("opening it again with %#x: %v instead of %v", flag, err, want)
		}
	}
	if _, err := unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err == nil {
		t.Error("it can be mapped for writing")
	}
	if err := f.Truncate(1); err == nil {
		t.Error("it can be truncated")
	}
	attr := unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(int(f.Fd()), "", unix.AT_EMPTY_PATH, &attr); err == nil {
		t.Error("its mount can be made writable")
	}
}

func openAndWrite(path string, flag int) error {
	f, err := os.OpenFile(path, flag, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteAt([]byte("x"), 300)
	return err
}

func TestCodeCannotBeWrittenByItsUsers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := moduleOf(t, "module")
	compiled := f.expect(t, m, Compiled, 1)
	hit := f.again(t).expect(t, m, Hit, 0)
	if compiled.code.exposed || hit.code.exposed {
		t.Skip("needs mount_setattr (Linux 5.12) for entries that are not copied")
	}
	assertUnwritable(t, compiled.File, unix.EROFS)
	assertUnwritable(t, hit.File, unix.EROFS)
	if err := os.Chmod(fmt.Sprintf("/proc/self/fd/%d", hit.File.Fd()), 0o777); !errors.Is(err, unix.EROFS) {
		t.Errorf("chmod: %v", err)
	}
	if err := unix.Fchown(int(hit.File.Fd()), 1000, 1000); !errors.Is(err, unix.EROFS) {
		t.Errorf("fchown: %v", err)
	}
	// All users map the same pages.
	if !sameInode(compiled.File, hit.File) {
		t.Error("the second user has a copy")
	}
}

// Kernels without mount_setattr get copies.
func TestCopyWithoutReadOnlyMount(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := moduleOf(t, "module")
	code := f.expect(t, m, Compiled, 1)
	exposed := *code.code
	exposed.exposed = true
	file, err := exposed.open()
	check(t, err)
	defer file.Close()
	f.assertCodeOf(t, &Code{File: file, Digest: code.Digest, ModuleSize: code.ModuleSize, Size: code.Size}, m)
	assertUnwritable(t, file, unix.EPERM)
}

// The lock that tells of the use is not in the hands of the user.
func TestUsersCannotGiveUpTheLock(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := moduleOf(t, "module")
	code := f.expect(t, m, Compiled, 1)
	check(t, unix.Flock(int(code.File.Fd()), unix.LOCK_UN))
	if err := unix.Flock(int(code.File.Fd()), unix.LOCK_EX|unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) {
		t.Errorf("an exclusive lock: %v", err)
	}
	list, err := f.List()
	check(t, err)
	if len(list) != 1 || !list[0].InUse {
		t.Errorf("got %+v", list)
	}
	check(t, code.Close())
	if list, err = f.List(); err != nil || len(list) != 1 || list[0].InUse {
		t.Errorf("after Close: %+v, %v", list, err)
	}
}

func TestNoDescriptorsAreLeft(t *testing.T) {
	// Not parallel: it counts those of the process.
	f := newFixture(t)
	m := moduleOf(t, "module")
	before := descriptors(t)
	f.expect(t, m, Compiled, 1).Close()
	f.expect(t, m, Hit, 1).Close()
	check(t, flip(f.entryPath("module"), 300))
	repaired := f.expect(t, m, Repaired, 2)
	stale, err := f.Replace(t.Context(), m, repaired)
	check(t, err)
	repaired.Close()
	stale.Close()
	if _, err := f.again(t, failing(errors.New("no"))).Get(t.Context(), moduleOf(t, "x")); err == nil {
		t.Error("no error")
	}
	if _, err := f.Prune(0); err != nil {
		t.Error(err)
	}
	f.expect(t, m, Compiled, 4).Close()
	if _, err := f.Verify(); err != nil {
		t.Error(err)
	}
	f.again(t, func(c *Config) { c.Disabled = true }).expect(t, m, Bypassed, 1).Close()
	eventually(t, fmt.Sprintf("%d descriptors again", before+1), func() bool { return descriptors(t) == before+1 }) // moduleOf(x)
}

func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	check(t, err)
	return len(list)
}
