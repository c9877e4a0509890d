package compiled

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// TestWhateverIsInTheCacheTheModuleRuns damages the entry of a module, or the
// place that it is in, and starts a container of the module twice.
func TestWhateverIsInTheCacheTheModuleRuns(t *testing.T) {
	rewrite := func(change func(data []byte) []byte) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			data := change([]byte(read(t, path)))
			must(t, os.WriteFile(path, data, 0o600))
		}
	}
	flip := func(at func(size int) int) func(*testing.T, string) {
		return rewrite(func(data []byte) []byte { data[at(len(data))] ^= 1; return data })
	}
	replace := func(make func(path string) error) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			must(t, os.Remove(path))
			must(t, make(path))
		}
	}
	elsewhere := t.TempDir()
	c := testenv.StartContainerd(t, testenv.Newest)
	img := module("hello", testenv.Example(t, "hello-c"))
	c.Import(t, img)
	for name, tc := range map[string]struct {
		damage func(t *testing.T, entry string)
		want   string // outcome of the next start; "repaired" if empty
	}{
		"untouched":       {func(*testing.T, string) {}, "hit"},
		"removed":         {func(t *testing.T, p string) { must(t, os.Remove(p)) }, "compiled"},
		"empty":           {rewrite(func([]byte) []byte { return nil }), ""},
		"truncated":       {rewrite(func(d []byte) []byte { return d[:len(d)/2] }), ""},
		"header only":     {rewrite(func(d []byte) []byte { return d[:256] }), ""},
		"longer":          {rewrite(func(d []byte) []byte { return append(d, 0) }), ""},
		"flip in magic":   {flip(func(int) int { return 0 }), ""},
		"flip in header":  {flip(func(int) int { return 100 }), ""},
		"flip in offsets": {flip(func(int) int { return 300 }), ""},
		"flip in code":    {flip(func(n int) int { return n / 2 }), ""},
		"flip in tail":    {flip(func(n int) int { return n - 1 }), ""},
		"another version": {rewrite(func(d []byte) []byte {
			return bytes.Replace(d, []byte("v1.12.0"), []byte("v1.99.0"), 1)
		}), ""},
		"garbage":   {rewrite(func(d []byte) []byte { return bytes.Repeat([]byte("garbage "), len(d)/8) }), ""},
		"symlink":   {replace(func(p string) error { return os.Symlink("/etc/passwd", p) }), ""},
		"dangling":  {replace(func(p string) error { return os.Symlink(elsewhere+"/nothing", p) }), ""},
		"directory": {replace(func(p string) error { return os.MkdirAll(p+"/x/y", 0o700) }), ""},
		"fifo":      {replace(func(p string) error { return unix.Mkfifo(p, 0o600) }), ""},
		"device":    {replace(func(p string) error { return unix.Mknod(p, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 5))) }), ""},
		"future": {func(t *testing.T, p string) {
			future := time.Now().AddDate(10, 0, 0)
			must(t, os.Chtimes(p, future, future))
		}, "hit"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hello := user{c, img, t.TempDir()}
			must(t, os.Chmod(hello.cache, 0o700))
			hello.runs(t, "first", "compiled")
			tc.damage(t, entry(t, hello.cache))
			want := tc.want
			if want == "" {
				want = "repaired"
			}
			hello.runs(t, "second", want)
			hello.runs(t, "third", "hit")
			entry(t, hello.cache)
		})
	}
}

// user is an image of the C example with a cache of its own.
type user struct {
	c     *testenv.Containerd
	img   testenv.Image
	cache string
}

// runs the C example and checks what it says and how its code came about.
func (u user) runs(t *testing.T, run, outcome string) {
	t.Helper()
	id := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, t.Name()) + "-" + run
	k := u.c.Run(t, testenv.Spec{ID: id, Image: u.img, RuntimeOptions: options(fmt.Sprintf("cache_dir = %q", u.cache))})
	if status := k.Finish(t); status != 0 || !strings.Contains(k.Stdout.String(), "Hello") {
		t.Errorf("%s: status %d, output %q, errors %q", run, status, k.Stdout.String(), k.Stderr.String())
	}
	if s := started(t, u.c, id); s["outcome"] != outcome {
		t.Errorf("%s: the outcome is %v, want %s", run, s, outcome)
	}
}

// TestAnotherModulesCodeIsNotExecuted puts the entry of one module in the place of
// another one's.
func TestAnotherModulesCodeIsNotExecuted(t *testing.T) {
	c := testenv.StartContainerd(t, testenv.Newest)
	hello := user{c, module("hello", testenv.Example(t, "hello-c")), c.CacheDir()}
	c.Import(t, hello.img)
	hello.runs(t, "first", "compiled")
	its := entry(t, hello.cache)
	c.Run(t, testenv.Spec{ID: "other", Image: tiny(t, c)})
	for _, other := range entries(t, hello.cache) {
		if other != its {
			must(t, os.Rename(other, its))
		}
	}
	hello.runs(t, "second", "repaired")
	hello.runs(t, "third", "hit")
}

// TestWithoutCacheModulesRun takes the cache's directory away in several ways.
func TestWithoutCacheModulesRun(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare func(t *testing.T, dir string)
		why     string // in the one line of the log
	}{
		"a file in its place":      {func(t *testing.T, dir string) { must(t, os.WriteFile(dir, nil, 0o600)) }, "directory"},
		"a symlink in its place":   {func(t *testing.T, dir string) { must(t, os.Symlink(t.TempDir(), dir)) }, ""},
		"everybody may write":      {func(t *testing.T, dir string) { must(t, os.Mkdir(dir, 0o700)); must(t, os.Chmod(dir, 0o777)) }, "0777"},
		"another user's directory": {func(t *testing.T, dir string) { must(t, os.Mkdir(dir, 0o700)); must(t, os.Chown(dir, 1, 1)) }, ""},
		"a full disk":              {func(t *testing.T, dir string) { mountTmpfs(t, dir, "size=16k") }, "no space left"},
		"a read-only disk": {func(t *testing.T, dir string) {
			mountTmpfs(t, dir, "")
			must(t, unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
		}, "read-only"},
	} {
		t.Run(name, func(t *testing.T) {
			c := testenv.StartContainerd(t, testenv.Newest)
			tc.prepare(t, c.CacheDir())
			hello := user{c, module("hello", testenv.Example(t, "hello-c")), c.CacheDir()}
			c.Import(t, hello.img)
			for _, run := range []string{"first", "second"} {
				hello.runs(t, run, "bypassed")
			}
			// One line for each shim, and each of these has one container.
			const line = "running without the code cache"
			if n := strings.Count(c.Log(), line); n != 2 {
				t.Errorf("%d lines say %q", n, line)
			}
			if !strings.Contains(c.Log(), tc.why) {
				t.Errorf("the log does not say %q", tc.why)
			}
		})
	}
}

func mountTmpfs(t *testing.T, dir, data string) {
	t.Helper()
	must(t, os.Mkdir(dir, 0o700))
	must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, data+",mode=0700"))
	t.Cleanup(func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) })
}

// TestDeadShimsLeaveNothing kills shims while they compile; the next container
// compiles, and no temporary file, lock or compiler is left.
func TestDeadShimsLeaveNothing(t *testing.T) {
	c := testenv.StartContainerd(t, testenv.Newest)
	img := module("python", cpython(t))
	c.Import(t, img)
	args := []string{"/python.wasm", "-c", "print(1)"}
	for i := range 2 {
		before := shims(t)
		done := make(chan struct{})
		go func() {
			defer close(done)
			c.CreateAny(t, testenv.Spec{ID: fmt.Sprint("k", i), Image: img, Args: args})
		}()
		var victim int
		testenv.Eventually(t, "compiler", func() error {
			for pid := range shims(t) {
				if !before[pid] && compiles(pid) {
					victim = pid
					return nil
				}
			}
			return fmt.Errorf("no shim compiles yet")
		})
		must(t, syscall.Kill(victim, syscall.SIGKILL))
		<-done
	}
	k := c.Run(t, testenv.Spec{ID: "c", Image: img, Args: args})
	if status := k.Finish(t); status != 0 || k.Stdout.String() != "1\n" {
		t.Errorf("status %d, output %q", status, k.Stdout.String())
	}
	if s := started(t, c, "c"); s["outcome"] != "compiled" {
		t.Errorf("outcome %v", s)
	}
	entry(t, c.CacheDir())
	if locks, err := os.ReadDir(c.CacheDir() + "/locks"); err != nil || len(locks) > 0 {
		t.Errorf("locks: %v, %v", locks, err)
	}
}

// shims are the processes of our binary that serve.
func shims(t *testing.T) map[int]bool {
	t.Helper()
	found := map[int]bool{}
	dirs, err := os.ReadDir("/proc")
	must(t, err)
	for _, d := range dirs {
		var pid int
		if _, err := fmt.Sscan(d.Name(), &pid); err != nil {
			continue
		}
		line, _ := os.ReadFile("/proc/" + d.Name() + "/cmdline")
		if strings.Contains(string(line), "containerd-shim-wazero-v1") && strings.Contains(string(line), "-namespace") {
			found[pid] = true
		}
	}
	return found
}

// compiles tells whether a shim has a compiler that works already.
func compiles(shim int) bool {
	threads, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", shim))
	for _, thread := range threads {
		data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", shim, thread.Name()))
		for _, child := range strings.Fields(string(data)) {
			stat, _ := os.ReadFile("/proc/" + child + "/status")
			if strings.Contains(string(stat), "wazero") || strings.Contains(string(stat), "compil") || strings.Contains(string(stat), "Seccomp:\t2") {
				return true
			}
		}
	}
	return false
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
