package codecache

import (
	"context"
	"crypto/sha256"
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

// hints returns what is remembered: identities and digests.
func (f *fixture) hints(t testing.TB) map[string]string {
	t.Helper()
	list, err := os.ReadDir(filepath.Join(f.dir, "digests"))
	check(t, err)
	found := map[string]string{}
	for _, e := range list {
		found[e.Name()], err = os.Readlink(filepath.Join(f.dir, "digests", e.Name()))
		check(t, err)
	}
	return found
}

// oldModule waits until a new file is old enough for its digest to be remembered
// by a cache that is not as patient as others.
func (f *fixture) oldModule(t *testing.T, content string) Module {
	t.Helper()
	f.settleTime = 50 * time.Millisecond
	m := moduleOf(t, content)
	time.Sleep(2 * f.settleTime)
	return m
}

func digestOf(content string) entry.Digest { return sha256.Sum256([]byte(content)) }

func TestDigestsOfUnchangedFilesAreRemembered(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := f.oldModule(t, "module")
	f.expect(t, m, Compiled, 1)
	id, err := identify(m)
	check(t, err)
	if got := f.hints(t); len(got) != 1 || got[id.name] != digestOf("module").String() {
		t.Fatalf("remembered %v", got)
	}
	// What is remembered is what is used.
	path := filepath.Join(f.dir, "digests", id.name)
	check(t, errors.Join(os.Remove(path), os.Symlink(digestOf("other").String(), path)))
	code, err := f.Get(t.Context(), m)
	check(t, err)
	if code.Close(); code.Digest != digestOf("other") {
		t.Error("the file was hashed again")
	}
	// A chmod changes the identity.
	check(t, os.Chmod(m.File.Name(), 0o600))
	f.expect(t, m, Hit, 2)
}

func TestDigestsOfNewFilesAreNotRemembered(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.expect(t, moduleOf(t, "module"), Compiled, 1)
	if got := f.hints(t); len(got) != 0 {
		t.Errorf("remembered %v", got)
	}
}

func TestDigestsOfFilesFromTheFutureAreNotRemembered(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for at, want := range map[time.Time]bool{
		now.Add(-time.Hour): true, now.Add(-settleTime - time.Second): true,
		now.Add(-settleTime / 2): false, now: false, now.Add(time.Hour): false,
	} {
		if got := (identity{changed: at}).isSettled(now, settleTime); got != want {
			t.Errorf("changed %v ago: %v", now.Sub(at), got)
		}
	}
}

func TestWhatIsInAHintsPlaceIsNoHint(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(path string) error{
		"a file":      func(path string) error { return os.WriteFile(path, []byte(digestOf("other").String()), 0o600) },
		"a directory": func(path string) error { return os.MkdirAll(path+"/x/y", 0o700) },
		"no digest":   func(path string) error { return os.Symlink("module", path) },
		"too long":    func(path string) error { return os.Symlink(digestOf("other").String()+"0", path) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.expect(t, moduleOf(t, "x"), Compiled, 1) // makes the directories
			m := f.oldModule(t, "module")
			id, err := identify(m)
			check(t, err)
			path := filepath.Join(f.dir, "digests", id.name)
			check(t, spoil(path))
			f.expect(t, m, Compiled, 2)
			if target, err := os.Readlink(path); err != nil || target != digestOf("module").String() {
				t.Errorf("remembered %q, %v", target, err)
			}
		})
	}
}

func TestReplacedFileHasAnotherDigest(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := f.oldModule(t, "module")
	path := m.File.Name()
	f.expect(t, m, Compiled, 1)
	info, err := os.Stat(path)
	check(t, err)
	// The same path, size and time.
	check(t, errors.Join(os.WriteFile(path+".new", []byte("MODULE"), 0o644), os.Chtimes(path+".new", info.ModTime(), info.ModTime()), os.Rename(path+".new", path)))
	f.expect(t, openModule(t, path), Compiled, 2)
	f.expect(t, m, Hit, 2) // the old one is still open
	// The same inode as well.
	check(t, errors.Join(overwrite(path, "mODULE"), os.Chtimes(path, info.ModTime(), info.ModTime())))
	f.expect(t, openModule(t, path), Compiled, 3)
}

func overwrite(path, content string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(content)
	return err
}

// A file that changes while it is compiled is never stored under the digest that
// it had before.
func TestFileThatChangesWhileItIsCompiled(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.wasm")
	changes := 0
	f := newFixture(t, func(c *Config) {
		c.Compile = func(ctx context.Context, m Module, d entry.Digest) (*os.File, error) {
			if changes > 0 {
				changes--
				if err := overwrite(path, "mODUL"+fmt.Sprint(changes)); err != nil {
					return nil, err
				}
			}
			return compileModule(ctx, m, d) // claims that it is the module with digest d
		}
	})
	check(t, os.WriteFile(path, []byte("module"), 0o644))
	m := openModule(t, path)
	changes = 1
	f.expect(t, m, Compiled, 2)
	f.assertTidy(t, 1)
	if got := f.hints(t); len(got) != 0 {
		t.Errorf("remembered %v", got)
	}
	// One that never stops is refused.
	check(t, overwrite(path, "MODULE"))
	changes = 100
	if _, err := f.Get(t.Context(), m); !errors.Is(err, errChanged) || !strings.HasPrefix(err.Error(), "/app.wasm: ") {
		t.Errorf("got %v", err)
	}
	if n := f.compiled.Load(); n != 2+mostAttempts {
		t.Errorf("%d compiles", n)
	}
	f.assertTidy(t, 1)
}

func TestFileThatChangesWhileItIsHashed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := moduleOf(t, "module")
	id, err := identify(m)
	check(t, err)
	for _, content := range []string{"MODULE", "longer module", "m"} {
		check(t, os.WriteFile(m.File.Name(), []byte(content), 0o644))
		if digest, err := f.hash(nil, m, id); !errors.Is(err, errChanged) {
			t.Errorf("%q: digest %s, %v", content, digest, err)
		}
	}
	// A writer that never stops: what is found belongs to one state of the file.
	path := m.File.Name()
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				_ = overwrite(path, strings.Repeat(fmt.Sprint(i%10), 300<<10))
			}
		}
	}()
	pure := map[entry.Digest]bool{}
	for i := range 10 {
		pure[digestOf(strings.Repeat(fmt.Sprint(i), 300<<10))] = true
	}
	eventually(t, "the first whole content", func() bool { info, err := os.Stat(path); return err == nil && info.Size() == 300<<10 })
	changed := 0
	for range 50 {
		id, err := identify(m)
		check(t, err)
		digest, err := f.hash(nil, m, id)
		if errors.Is(err, errChanged) {
			changed++
		} else if err != nil {
			t.Error(err)
		} else if !pure[digest] {
			// The clock of the file system may not have moved on between a
			// write and the hash: that is why it is not remembered.
			t.Log("a mixture was hashed between two ticks of the clock")
		}
	}
	close(stop)
	<-done
	if changed == 0 {
		t.Error("no change was noticed")
	}
}

func TestNumberOfHintsIsBounded(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	d, err := f.openDir()
	check(t, err)
	defer d.close()
	now := time.Now()
	set := func(i int, at time.Time) {
		name := fmt.Sprintf("hint%02d", i)
		check(t, unix.Symlinkat(digestOf(name).String(), d.digests, name))
		ts := unix.NsecToTimespec(at.UnixNano())
		check(t, unix.UtimesNanoAt(d.digests, name, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW))
	}
	for i := range 21 {
		set(i, now.Add(time.Duration(i-100)*time.Minute))
	}
	set(30, now.AddDate(1, 0, 0)) // made while the clock was a year ahead
	d.boundHints(20)
	got := f.hints(t)
	if len(got) != 15 || got["hint30"] != "" || got["hint05"] != "" || got["hint06"] == "" || got["hint20"] == "" {
		t.Errorf("%d are left: %v", len(got), got)
	}
	d.boundHints(20)
	if again := f.hints(t); len(again) != 15 {
		t.Errorf("%d are left", len(again))
	}
}

// The same layer has one identity in all containers, whose root file systems are
// devices of their own.
func TestIdentityInOverlays(t *testing.T) {
	t.Parallel()
	needRoot(t)
	disk := t.TempDir()
	mountTmpfs(t, disk, "size=1m")
	for _, dir := range []string{"lower", "upper1", "work1", "upper2", "work2", "root1", "root2"} {
		check(t, os.Mkdir(filepath.Join(disk, dir), 0o755))
	}
	check(t, os.WriteFile(filepath.Join(disk, "lower", "app.wasm"), []byte("module"), 0o644))
	var ids []identity
	for _, n := range []string{"1", "2"} {
		root := filepath.Join(disk, "root"+n)
		options := fmt.Sprintf("lowerdir=%s/lower,upperdir=%s/upper%s,workdir=%s/work%s", disk, disk, n, disk, n)
		if err := unix.Mount("codecache-test", root, "overlay", 0, options); err != nil {
			t.Skipf("needs overlayfs: %v", err)
		}
		t.Cleanup(func() { check(t, unix.Unmount(root, unix.MNT_DETACH)) })
		id, err := identify(openModule(t, filepath.Join(root, "app.wasm")))
		check(t, err)
		ids = append(ids, id)
	}
	if ids[0] != ids[1] {
		t.Errorf("%+v and %+v", ids[0], ids[1])
	}
	// A container that changes its own copy.
	path := filepath.Join(disk, "root2", "app.wasm")
	check(t, overwrite(path, "MODULE"))
	id, err := identify(openModule(t, path))
	check(t, err)
	if id == ids[0] {
		t.Error("a changed file has the identity of the layer's")
	}
}
