package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/entry"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/engine"
)

// guest is a module that ends at once, or idles, depending on its arguments.
type guest struct {
	name       string
	module     string
	size       int64
	entry      *os.File
	once, idle []string // arguments; the idle one says "idle" first
}

const idleC = `#include <stdio.h>
#include <unistd.h>
int main(int argc, char **argv) {
	if (argc == 1) { puts("hello"); return 0; }
	puts("idle"); fflush(stdout);
	for (;;) sleep(1000);
}
`

const idleGo = `package main

import (
	"fmt"
	"os"
	"time"
)

func main() {
	if len(os.Args) == 1 {
		fmt.Println("hello")
		return
	}
	fmt.Println("idle")
	time.Sleep(1000 * time.Hour)
}
`

// build makes the guests and compiles them.
func build(ctx context.Context, dir, only string) ([]guest, error) {
	var all []guest
	for _, b := range []struct {
		name string
		make func(ctx context.Context, dir string) (guest, error)
	}{{"C", buildC}, {"Go", buildGo}, {"CPython", findPython}} {
		if only != "" && only != b.name {
			continue
		}
		g, err := b.make(ctx, dir)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", b.name, err)
		}
		g.name = b.name
		if err := g.compile(ctx, filepath.Join(dir, b.name+".entry")); err != nil {
			return nil, fmt.Errorf("%s: %w", b.name, err)
		}
		all = append(all, g)
	}
	return all, nil
}

func buildC(ctx context.Context, dir string) (guest, error) {
	source, module := filepath.Join(dir, "hello.c"), filepath.Join(dir, "c.wasm")
	if err := os.WriteFile(source, []byte(idleC), 0o600); err != nil {
		return guest{}, err
	}
	err := tool(exec.CommandContext(ctx, "clang-14", "--target=wasm32-wasi", "--sysroot=/usr", "-O2", "-Wl,--strip-debug", "-o", module, source))
	return guest{module: module, once: []string{"hello"}, idle: []string{"hello", "idle"}}, err
}

func buildGo(ctx context.Context, dir string) (guest, error) {
	source, module := filepath.Join(dir, "hello.go"), filepath.Join(dir, "go.wasm")
	if err := os.WriteFile(source, []byte(idleGo), 0o600); err != nil {
		return guest{}, err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s", "-o", module, source)
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=")
	return guest{module: module, once: []string{"hello"}, idle: []string{"hello", "idle"}}, tool(cmd)
}

// findPython takes the one of the tests.
func findPython(ctx context.Context, _ string) (guest, error) {
	cmd := exec.CommandContext(ctx, "go", "run", ".", "get", "python")
	cmd.Dir = absolute("test/tools")
	out, err := cmd.Output()
	if err != nil {
		return guest{}, fmt.Errorf("get python from test/tools (run this in the root of the repository): %w", err)
	}
	dist := filepath.Join(strings.TrimSpace(string(out)), "dist")
	if _, err := os.Stat(dist); err != nil {
		matches, _ := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), "*", "dist"))
		if len(matches) == 0 {
			return guest{}, err
		}
		dist = matches[0]
	}
	return guest{
		module: filepath.Join(dist, "python.wasm"),
		once:   []string{"python", "-c", "print(1)"},
		idle:   []string{"python", "-c", "import sys; print('idle', flush=True); sys.stdin.read()"},
	}, nil
}

func tool(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return nil
}

// compile makes the entry that the shim would send.
func (g *guest) compile(ctx context.Context, path string) error {
	module, err := os.ReadFile(g.module)
	if err != nil {
		return err
	}
	g.size = int64(len(module))
	code, err := engine.Compile(ctx, module, g.name, 2)
	if err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	err = entry.Create(file, entry.Header{
		ModuleSize: g.size, Engine: entry.Current(), EngineKey: code.Key,
		PrefixSize: int64(len(code.Prefix)), CodeSize: int64(len(code.Code)), SuffixSize: int64(len(code.Suffix)),
	}, io.MultiReader(bytes.NewReader(code.Prefix), bytes.NewReader(code.Code), bytes.NewReader(code.Suffix)))
	if err != nil {
		return err
	}
	if err := unix.Fsync(int(file.Fd())); err != nil {
		return err
	}
	g.entry, err = os.Open(path)
	return err
}
