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
	out := filepath.Join(t.TempDir(), name)
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, "./guests/"+name)
	cmd.Dir = filepath.Join(Root(), "test", "integration")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if kind == Wasm {
		cmd.Env = append(cmd.Env, "GOOS=wasip1", "GOARCH=wasm")
	}
	if msg, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build guest %s: %v\n%s", name, err, msg)
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
