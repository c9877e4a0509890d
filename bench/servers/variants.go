package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/containerd/api/types/runtimeoptions/v1"
	imagespec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/containerd-wazero/containerd-shim-wazero/bench/runtimes/bed"
	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/image"
)

// Variant is a way to run servers: what is compared.
type Variant struct {
	Name    string
	Runtime string // containerd's name
	About   string // what runs in the container
	options any    // of the runtime
	servers map[string]server
}

// server is a program in one of its forms, as a container.
type server struct {
	image image.Image
	port  int // on 127.0.0.1
	// args, env and annotations are the container's.
	args, env   []string
	annotations map[string]string
}

// Names of the variants.
const (
	oursName   = "wazero shim"
	nativeName = "native"
	otherName  = "wazero's own"
)

// Keys of the programs, which are also their names.
const (
	goServer = "Go"
	// goAsItIs is the same without what it does for wazero's own sockets.
	goAsItIs = "Go as it is"
	cServer  = "C"
)

// forms are what a program is built to.
type forms struct{ module, native []byte }

// built is all that is built.
type built struct {
	programs map[string]forms
	wazero   []byte // wazero's own command
}

// goBuild builds the command of a directory.
func goBuild(dir string) []string {
	return []string{"go", "build", "-C", dir, "-trimpath", "-buildvcs=false", "-ldflags=-s"}
}

// build builds everything that is not there yet.
func build(ctx context.Context, b bed.Builder) (all *built, err error) {
	own := filepath.Join(root(), "bench", "servers")
	all = &built{programs: map[string]forms{}}
	if all.programs[goServer], err = buildGo(ctx, b, own); err != nil {
		return nil, err
	}
	all.programs[goAsItIs] = all.programs[goServer]
	if all.programs[cServer], err = buildC(ctx, b, own); err != nil {
		return nil, err
	}
	all.wazero, err = buildWazero(ctx, b, own)
	return all, err
}

func buildGo(ctx context.Context, b bed.Builder, own string) (f forms, err error) {
	dir := filepath.Join(own, "server")
	sources, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return f, err
	}
	sources = append(sources, filepath.Join(own, "bodies", "bodies.go"))
	if f.module, err = b.Compile(ctx, "server.wasm", goBuild(dir), []string{"GOOS=wasip1", "GOARCH=wasm"}, sources...); err != nil {
		return f, err
	}
	f.native, err = b.Compile(ctx, "server", goBuild(dir), []string{"CGO_ENABLED=0"}, sources...)
	return f, err
}

func buildC(ctx context.Context, b bed.Builder, own string) (f forms, err error) {
	source := filepath.Join(own, "cserver", "server.c")
	if f.module, err = b.Compile(ctx, "cserver.wasm", append(bed.WasmCC(), "-O2", source), nil, source); err != nil {
		return f, err
	}
	f.native, err = b.Compile(ctx, "cserver", append(bed.NativeCC(), "-O2", source), nil, source)
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

// variants are the ways to run them. Our shim keeps its code in cache.
func (b *built) variants(cache string) []Variant {
	ours := Variant{
		Name: oursName, Runtime: "io.containerd.wazero.v1", About: "the module", servers: map[string]server{},
		options: &runtimeoptions.Options{ConfigBody: fmt.Appendf(nil, "cache_dir = %q\n", cache)},
	}
	native := Variant{Name: nativeName, Runtime: "io.containerd.runc.v2", About: "the same program, built natively", servers: map[string]server{}}
	other := Variant{
		Name: otherName, Runtime: "io.containerd.runc.v2", servers: map[string]server{},
		About: "the same module, by wazero's own command: `wazero run -listen`",
	}
	port := 8080
	at := func() (int, string) {
		port++
		return port, fmt.Sprintf("127.0.0.1:%d", port)
	}
	for key, f := range b.programs {
		var env []string
		asItIs := []string{}
		if key == goAsItIs {
			env, asItIs = []string{"AS_IT_IS=1"}, []string{"-env", "AS_IT_IS=1"}
		}
		p, address := at()
		ours.servers[key] = server{
			image: imageOf(imageName("ours", key), map[string][]byte{"/server.wasm": f.module}), port: p,
			args:        []string{"/server.wasm"},
			env:         env,
			annotations: map[string]string{"io.containerd.wazero.v1.listen": "tcp://" + address},
		}
		p, address = at()
		native.servers[key] = server{
			image: imageOf(imageName("native", key), map[string][]byte{"/server": f.native}), port: p,
			args: []string{"/server"}, env: []string{"ADDRESS=" + address},
		}
		p, address = at()
		other.servers[key] = server{
			image: imageOf(imageName("wazero", key), map[string][]byte{"/wazero": b.wazero, "/server.wasm": f.module}), port: p,
			args: slices.Concat([]string{"/wazero", "run", "-env", "LISTEN_FDS_START=3"}, asItIs, []string{"-listen", address, "/server.wasm"}),
		}
	}
	return []Variant{ours, native, other}
}

func imageName(variant, program string) string {
	return variant + "-" + strings.ReplaceAll(strings.ToLower(program), " ", "-")
}

func imageOf(name string, files map[string][]byte) image.Image {
	img := image.Image{Name: "bench.local/" + name + ":1", Files: map[string]image.File{}, Config: imagespec.ImageConfig{}}
	for path, data := range files {
		img.Files[path] = image.File{Data: data}
	}
	return img
}
