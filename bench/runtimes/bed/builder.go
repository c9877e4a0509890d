package bed

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Builder builds programs in a directory that stays: some take minutes.
type Builder struct {
	Tools string // the directory of test/tools
	Cache string
}

// NewBuilder returns the Builder of all benchmarks; root is the top directory of the
// repository.
func NewBuilder(root string) (Builder, error) {
	cache, err := os.UserCacheDir()
	return Builder{Tools: filepath.Join(root, "test", "tools"), Cache: filepath.Join(cache, "containerd-shim-wazero", "bench")}, err
}

// Binaries finds our shim in a directory, and builds the others.
func (b Builder) Binaries(ctx context.Context, shim string) (bin Binaries, err error) {
	if _, err := os.Stat(filepath.Join(shim, "containerd-shim-wazero-v1")); err != nil {
		return bin, fmt.Errorf("run make build first: %w", err)
	}
	bin.Shim = shim
	if bin.Containerd, err = b.Get(ctx, "containerd", ContainerdVersion); err != nil {
		return bin, err
	}
	bin.Runc, err = b.Get(ctx, "runc", RuncVersion)
	return bin, err
}

// WasmCC is the C compiler for modules, with what it needs.
func WasmCC() []string {
	return []string{"clang-14", "--target=wasm32-wasi", "--sysroot=/usr", "-Wl,--strip-debug"}
}

// NativeCC is the one for static programs.
func NativeCC() []string { return []string{"gcc", "-static", "-s"} }

// Compile runs a compiler, unless the same command has compiled the same sources
// before, and returns what it made.
func (b Builder) Compile(ctx context.Context, name string, command, env []string, sources ...string) ([]byte, error) {
	h := sha256.New()
	fmt.Fprintln(h, command, env)
	for _, s := range sources {
		data, err := os.ReadFile(s)
		if err != nil {
			return nil, err
		}
		_, _ = h.Write(data)
	}
	out := filepath.Join(b.Cache, fmt.Sprintf("%s-%.8x", name, h.Sum(nil)))
	if data, err := os.ReadFile(out); err == nil {
		return data, nil
	}
	if err := os.MkdirAll(b.Cache, 0o755); err != nil {
		return nil, err
	}
	// A name of our own, since others may build the same now.
	part := fmt.Sprintf("%s.%d", out, os.Getpid())
	defer os.Remove(part)
	args := append([]string{}, command[1:]...)
	if command[0] == "go" {
		args = append(args, "-o", part, ".")
	} else {
		args = append(args, "-o", part)
	}
	cmd := exec.CommandContext(ctx, command[0], args...)
	cmd.Env = append(os.Environ(), env...)
	if err := Tool(cmd); err != nil {
		return nil, err
	}
	if err := os.Rename(part, out); err != nil {
		return nil, err
	}
	return os.ReadFile(out)
}

// Tool runs a command whose output is of interest when it fails.
func Tool(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return nil
}

// Get returns the directory of a tool of the tests, which is built if it is not
// there yet.
func (b Builder) Get(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"run", ".", "get"}, args...)...)
	cmd.Dir, cmd.Stderr = b.Tools, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("get %s: %w", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}
