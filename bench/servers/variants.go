package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/api/types/runtimeoptions/v1"
	imagespec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/containerd-wazero/containerd-shim-wazero/bench/runtimes/bed"
	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/image"
)

// Variant is a way to run the server: what is compared.
type Variant struct {
	Name    string
	Runtime string // containerd's name
	About   string // what runs in the container
	image   image.Image
	port    int // on 127.0.0.1
	// args, env and annotations are the container's, options its runtime's.
	args, env   []string
	annotations map[string]string
	options     any
}

// Names of the variants.
const (
	oursName   = "wazero shim"
	nativeName = "native"
	otherName  = "wazero's own"
)

// forms are what the server is built to.
type forms struct {
	module, native []byte
	wazero         []byte // wazero's own command
}

func newBuilder() (bed.Builder, error) {
	// It keeps what it builds where the other benchmarks do.
	cache, err := os.UserCacheDir()
	return bed.Builder{
		Tools: filepath.Join(root(), "test", "tools"), Cache: filepath.Join(cache, "containerd-shim-wazero", "bench"),
	}, err
}

// goBuild builds the command of a directory.
func goBuild(dir string) []string {
	return []string{"go", "build", "-C", dir, "-trimpath", "-buildvcs=false", "-ldflags=-s"}
}

func buildForms(ctx context.Context, b bed.Builder) (*forms, error) {
	own := filepath.Join(root(), "bench", "servers")
	sources, err := filepath.Glob(filepath.Join(own, "server", "*.go"))
	if err != nil {
		return nil, err
	}
	sources = append(sources, filepath.Join(own, "bodies", "bodies.go"))
	f, build := &forms{}, goBuild(filepath.Join(own, "server"))
	if f.module, err = b.Compile(ctx, "server.wasm", build, []string{"GOOS=wasip1", "GOARCH=wasm"}, sources...); err != nil {
		return nil, err
	}
	if f.native, err = b.Compile(ctx, "server", build, []string{"CGO_ENABLED=0"}, sources...); err != nil {
		return nil, err
	}
	f.wazero, err = buildWazero(ctx, b, own)
	return f, err
}

// buildWazero builds wazero's own command, in the version of this module.
func buildWazero(ctx context.Context, b bed.Builder, own string) ([]byte, error) {
	const module = "github.com/tetratelabs/wazero"
	if err := bed.Tool(exec.CommandContext(ctx, "go", "-C", own, "mod", "download", module)); err != nil {
		return nil, err
	}
	list := exec.CommandContext(ctx, "go", "-C", own, "list", "-m", "-f", "{{.Dir}}", module)
	dir, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", list, err)
	}
	command := filepath.Join(strings.TrimSpace(string(dir)), "cmd", "wazero")
	return b.Compile(ctx, "wazero", goBuild(command), []string{"CGO_ENABLED=0"})
}

// variants are the ways to run the server. Our shim keeps its code in cache.
func (f *forms) variants(cache string) []Variant {
	const ours, native, other = 8081, 8082, 8083
	return []Variant{
		{
			Name: oursName, Runtime: "io.containerd.wazero.v1", About: "the module", port: ours,
			image:       imageOf("ours", map[string][]byte{"/server.wasm": f.module}),
			args:        []string{"/server.wasm"},
			annotations: map[string]string{"io.containerd.wazero.v1.listen": "tcp://" + address(ours)},
			options:     &runtimeoptions.Options{ConfigBody: fmt.Appendf(nil, "cache_dir = %q\n", cache)},
		},
		{
			Name: nativeName, Runtime: "io.containerd.runc.v2", About: "the same program, built natively", port: native,
			image: imageOf("native", map[string][]byte{"/server": f.native}),
			args:  []string{"/server"}, env: []string{"ADDRESS=" + address(native)},
		},
		{
			Name: otherName, Runtime: "io.containerd.runc.v2", port: other,
			About: "the same module, by wazero's own command: `wazero run -listen`",
			image: imageOf("wazero", map[string][]byte{"/wazero": f.wazero, "/server.wasm": f.module}),
			args:  []string{"/wazero", "run", "-env", "LISTEN_FDS_START=3", "-listen", address(other), "/server.wasm"},
		},
	}
}

func address(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

func imageOf(name string, files map[string][]byte) image.Image {
	img := image.Image{Name: "bench.local/" + name + ":1", Files: map[string]image.File{}, Config: imagespec.ImageConfig{}}
	for path, data := range files {
		img.Files[path] = image.File{Data: data}
	}
	return img
}
