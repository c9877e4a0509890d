package engine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/entry"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/engine/linmem"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi/preview1"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wat assembles a module in the text format, all proposals that guests may use
// being on.
func wat(t testing.TB, source string) []byte {
	t.Helper()
	dir := t.TempDir()
	in, out := filepath.Join(dir, "guest.wat"), filepath.Join(dir, "guest.wasm")
	must(t, os.WriteFile(in, []byte(source), 0o600))
	cmd := exec.Command("wat2wasm", "--debug-names", "--enable-threads", "--enable-tail-call", "--enable-extended-const", "-o", out, in)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("wat2wasm (of the package wabt): %v\n%s\n%s", err, text, source)
	}
	data, err := os.ReadFile(out)
	must(t, err)
	return data
}

// file is a file with this content, open for reading.
func file(t testing.TB, content []byte) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(path, content, 0o600))
	f, err := os.Open(path)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

// compile is what the compiler process does, and makeEntry what the shim makes
// of it.
func compile(t testing.TB, module []byte) *Code {
	t.Helper()
	code, err := Compile(t.Context(), module, "/guest.wasm", 1)
	must(t, err)
	return code
}

func makeEntry(t testing.TB, module []byte, code *Code) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "entry")
	f, err := os.Create(path)
	must(t, err)
	defer f.Close()
	must(t, entry.Create(f, entry.Header{
		Module: sha256.Sum256(module), ModuleSize: int64(len(module)), Engine: entry.Current(), EngineKey: code.Key,
		PrefixSize: int64(len(code.Prefix)), CodeSize: int64(len(code.Code)), SuffixSize: int64(len(code.Suffix)),
	}, io.MultiReader(bytes.NewReader(code.Prefix), bytes.NewReader(code.Code), bytes.NewReader(code.Suffix))))
	data, err := os.ReadFile(path)
	must(t, err)
	return data
}

// loaded is a module that is ready to run.
type loaded struct {
	runtime  *Runtime
	module   *Module
	compiled wazero.CompiledModule
}

// load is what a runner does with a module and an entry. A nil result comes with
// a *StaleError; all others fail the test.
func load(t testing.TB, module, entry []byte, private bool) (*loaded, *StaleError) {
	t.Helper()
	l, err := tryLoad(t, module, entry, private)
	var stale *StaleError
	if errors.As(err, &stale) {
		return nil, stale
	}
	must(t, err)
	return l, nil
}

func tryLoad(t testing.TB, module, entry []byte, private bool) (*loaded, error) {
	t.Helper()
	m, err := ReadModule(file(t, module), "/guest.wasm")
	must(t, err)
	e, err := OpenEntry(file(t, entry), private)
	if err != nil {
		m.Free()
		return nil, err
	}
	if e.Shared() == private {
		t.Errorf("shared is %t, private %t", e.Shared(), private)
	}
	r, err := NewLoader(t.Context())
	must(t, err)
	compiled, err := r.Load(t.Context(), m, e)
	if err != nil {
		m.Free()
		return nil, err
	}
	l := &loaded{r, m, compiled}
	t.Cleanup(func() { r.Close(context.Background()) })
	return l, nil
}

// cold is a module that has been compiled in place.
func cold(t testing.TB, module []byte) *loaded {
	t.Helper()
	r := NewCompiler(t.Context())
	t.Cleanup(func() { r.Close(context.Background()) })
	outline, err := ParseOutline(module, "/guest.wasm")
	must(t, err)
	must(t, r.CheckImports(t.Context(), outline, "/guest.wasm"))
	compiled, err := r.CompileHere(t.Context(), module, "/guest.wasm", outline, 1)
	must(t, err)
	return &loaded{runtime: r, compiled: compiled}
}

// observation is what a guest that ran looks like from outside.
type observation struct {
	result uint64
	memory [32]byte // sum
	size   uint32
	err    string
}

func null(t testing.TB) int {
	t.Helper()
	fd, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	must(t, err)
	return fd
}

// quiet runs nothing but what a module's own start section asks for.
var quiet = wazero.NewModuleConfig().WithName("").WithStartFunctions()

// run instantiates, calls "run" if there is one, and looks.
func (l *loaded) run(t testing.TB) (o observation) {
	t.Helper()
	allocator := linmem.Unlimited()
	if l.module != nil && l.module.Image() != nil {
		allocator.Use(l.module.Image())
	}
	system, err := preview1.New(preview1.Config{Stdio: [3]int{null(t), null(t), null(t)}})
	must(t, err)
	defer system.Close()
	ctx := preview1.WithSystem(experimental.WithMemoryAllocator(t.Context(), allocator), system)
	m, err := l.runtime.InstantiateModule(ctx, l.compiled, quiet)
	if err != nil {
		return observation{err: err.Error()}
	}
	defer m.Close(ctx)
	if f := m.ExportedFunction("run"); f != nil {
		results, err := f.Call(ctx)
		if err != nil {
			o.err = err.Error()
		} else if len(results) > 0 {
			o.result = results[0]
		}
	}
	if memory := m.ExportedMemory("m"); memory != nil {
		o.size = memory.Size()
		b, _ := memory.Read(0, o.size)
		o.memory = sha256.Sum256(b)
	}
	return o
}
