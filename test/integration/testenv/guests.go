package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// Kind of a guest.
type Kind string

// The kinds: a WASI module, or a static binary of this machine.
const (
	Wasm   Kind = "wasm"
	Native Kind = "native"
)

// Guests builds the test guests from source, each once.
type Guests struct {
	mu    sync.Mutex
	built map[string][]byte
}

// Build returns the binary of a package below guests/.
func (g *Guests) Build(t testing.TB, name string, kind Kind) []byte {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	key := name + "/" + string(kind)
	if data, ok := g.built[key]; ok {
		return data
	}
	out := filepath.Join(os.Getenv(guestsEnv), string(kind), name)
	if os.Getenv(guestsEnv) == "" {
		out = filepath.Join(t.TempDir(), name)
		cmd := compiler(filepath.Join(Root(), "test", "integration", "guests", name), out, kind)
		if msg, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build guest %s: %v\n%s", name, err, msg)
		}
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if g.built == nil {
		g.built = map[string][]byte{}
	}
	g.built[key] = data
	return data
}

// compiler is the command that builds a guest in C (dir/<name>.c), Rust (the same with
// .rs, for Wasm only) or Go.
func compiler(dir, out string, kind Kind) *exec.Cmd {
	has := func(source string) bool { _, err := os.Stat(source); return err == nil }
	source := filepath.Join(dir, filepath.Base(dir))
	switch {
	case has(source+".c") && kind == Wasm:
		return exec.Command("clang-14", "--target=wasm32-wasi", "--sysroot=/usr", "-O2", "-Wl,--strip-debug", "-o", out, source+".c")
	case has(source + ".c"):
		return exec.Command("gcc", "-static", "-O2", "-s", "-o", out, source+".c")
	case has(source + ".rs"):
		cmd := exec.Command("go", "run", ".", "rustc", "-O", "-C", "strip=symbols", "-o", out, source+".rs")
		cmd.Dir = filepath.Join(Root(), "test", "tools")
		return cmd
	}
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if kind == Wasm {
		cmd.Env = append(cmd.Env, "GOOS=wasip1", "GOARCH=wasm")
	}
	return cmd
}

// Multi is an image of the guest "multi"; its entrypoint is /multi.wasm or /multi.
func (g *Guests) Multi(t testing.TB, kind Kind) Image {
	t.Helper()
	path := "/multi"
	if kind == Wasm {
		path += ".wasm"
	}
	return Image{
		Name:   "test.local/multi-" + string(kind) + ":1",
		Files:  map[string]File{path: {Data: g.Build(t, "multi", kind)}, "/tmp": {Dir: true, Mode: 0o777}},
		Config: v1.ImageConfig{Entrypoint: []string{path}},
	}
}

// Example returns the module of an example image, built from its source.
func Example(t testing.TB, name string) []byte {
	t.Helper()
	dir := t.TempDir()
	output(t, Root(), "bash", "examples/build.sh", dir, name)
	modules, err := filepath.Glob(filepath.Join(dir, name, "*.wasm"))
	if err != nil || len(modules) != 1 {
		t.Fatalf("example %s has the modules %q (%v)", name, modules, err)
	}
	data, err := os.ReadFile(modules[0])
	if err != nil {
		t.Fatal(err)
	}
	return data
}
