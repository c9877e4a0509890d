package codecache

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/entry"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/memfd"
)

func TestMain(m *testing.M) {
	if role := os.Getenv("CODECACHE_TEST"); role != "" {
		os.Exit(helper(role))
	}
	os.Exit(m.Run())
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// needRoot skips a test: the cache's directory belongs to root.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to whom the cache belongs")
	}
}

// fixture is a cache in a directory of its own, with a compiler that counts.
type fixture struct {
	*Cache
	dir      string
	compiled atomic.Int64
	logged   *buffer
}

// buffer takes log lines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// lines returns what was logged so far.
func (b *buffer) lines() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.FieldsFunc(b.b.String(), func(r rune) bool { return r == '\n' })
}

func newFixture(t testing.TB, change ...func(*Config)) *fixture {
	t.Helper()
	return fixtureIn(t, filepath.Join(t.TempDir(), "cache"), change...)
}

func fixtureIn(t testing.TB, dir string, change ...func(*Config)) *fixture {
	t.Helper()
	needRoot(t)
	f := &fixture{dir: dir, logged: &buffer{}}
	logger := logrus.New()
	logger.SetOutput(f.logged)
	c := Config{Dir: dir, Log: logrus.NewEntry(logger), Compile: compileModule}
	for _, apply := range change {
		apply(&c)
	}
	compile := c.Compile
	c.Compile = func(ctx context.Context, m Module, d entry.Digest) (*os.File, error) {
		f.compiled.Add(1)
		return compile(ctx, m, d)
	}
	f.Cache = New(c)
	return f
}

// compileModule stands for the compiler, which is another process in earnest: the
// code that it makes is the module, so that every test can tell whose it is.
func compileModule(_ context.Context, m Module, d entry.Digest) (*os.File, error) {
	content, err := io.ReadAll(io.NewSectionReader(m.File, 0, 1<<40))
	if err != nil {
		return nil, err
	}
	return sealedEntry(content, func(h *entry.Header) { h.Module = d })
}

// sealedEntry is what a compiler returns for a module.
func sealedEntry(content []byte, change func(*entry.Header)) (*os.File, error) {
	f, err := memfd.New("entry")
	if err != nil {
		return nil, err
	}
	h := entry.Header{
		Module: sha256.Sum256(content), ModuleSize: int64(len(content)), Engine: entry.Current(),
		EngineKey: sha256.Sum256(append([]byte("key of "), content...)), PrefixSize: 6, CodeSize: int64(len(content)), SuffixSize: 6,
	}
	change(&h)
	if err := entry.Create(f, h, strings.NewReader("prefix"+string(content)+"suffix")); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, memfd.Seal(f)
}

// moduleOf returns a new file with the content, changed long ago as far as the
// cache can see only after a while.
func moduleOf(t testing.TB, content string) Module {
	t.Helper()
	path := filepath.Join(t.TempDir(), "app.wasm")
	check(t, os.WriteFile(path, []byte(content), 0o644))
	return openModule(t, path)
}

func openModule(t testing.TB, path string) Module {
	t.Helper()
	f, err := os.Open(path)
	check(t, err)
	t.Cleanup(func() { f.Close() })
	return Module{File: f, Name: "/app.wasm"}
}

func (f *fixture) mustGet(t testing.TB, m Module) *Code {
	t.Helper()
	code, err := f.Get(t.Context(), m)
	check(t, err)
	t.Cleanup(func() { code.Close() })
	f.assertCodeOf(t, code, m)
	return code
}

// assertCodeOf makes sure that code is what compileModule makes of the module as
// it is now.
func (f *fixture) assertCodeOf(t testing.TB, code *Code, m Module) {
	t.Helper()
	content, err := io.ReadAll(io.NewSectionReader(m.File, 0, 1<<40))
	check(t, err)
	digest := entry.Digest(sha256.Sum256(content))
	h, err := entry.Verify(code.File, digest, entry.Current())
	check(t, err)
	if code.Digest != digest || code.ModuleSize != int64(len(content)) || code.Size != h.Size() {
		t.Errorf("%+v is not the code of %d bytes with digest %s", code, len(content), digest)
	}
	got, err := io.ReadAll(io.NewSectionReader(code.File, h.CodeOffset, h.CodeSize))
	check(t, err)
	if !bytes.Equal(got, content) {
		t.Errorf("this is the code of another module")
	}
}

// expect is one Get with its outcome and the number of compiles until then.
func (f *fixture) expect(t testing.TB, m Module, outcome Outcome, compiled int64) *Code {
	t.Helper()
	code := f.mustGet(t, m)
	if code.Outcome != outcome || f.compiled.Load() != compiled {
		t.Fatalf("outcome %s after %d compiles, not %s after %d; log: %q", code.Outcome, f.compiled.Load(), outcome, compiled, f.logged.lines())
	}
	return code
}

// again is another process with the same directory, as far as the cache can tell.
func (f *fixture) again(t testing.TB, change ...func(*Config)) *fixture {
	t.Helper()
	return fixtureIn(t, f.dir, change...)
}

// entryPath is where the code of a module is.
func (f *fixture) entryPath(content string) string {
	key := keyOf(sha256.Sum256([]byte(content)), entry.Current())
	return filepath.Join(f.dir, "entries", key.String())
}

// assertTidy makes sure that nothing but n entries is in the cache.
func (f *fixture) assertTidy(t testing.TB, n int) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(f.dir, "entries"))
	check(t, err)
	locks, err := os.ReadDir(filepath.Join(f.dir, "locks"))
	check(t, err)
	if len(entries) != n || len(locks) != 0 {
		t.Errorf("%d entries instead of %d (%v), locks %v", len(entries), n, entries, locks)
	}
	for _, e := range entries {
		if _, err := entry.ParseDigest(e.Name()); err != nil || !e.Type().IsRegular() {
			t.Errorf("%s is left", e)
		}
	}
	for key := range f.flights {
		t.Errorf("a flight for %s is left", key)
	}
}

// eventually waits for something that other goroutines or processes do.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("timeout: %s", what)
		}
	}
}
