package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/containerd-wazero/containerd-shim-wazero/bench/runtimes/bed"
	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/image"
)

// Program is something to run, as a module and natively.
type Program struct {
	// Name is for people, Key for file names and images.
	Name, Key string
	// About says what each form is made of.
	About map[form]string
	// Bytes is the size of the module.
	Bytes int64
	// Args follow the program: those of one that ends, and of one that idles.
	Once, Idle []string `json:"-"`
	// Images by form; a form that is missing cannot be measured.
	Images map[form]image.Image `json:"-"`
}

// runs tells whether a program exists for a variant. The references run nothing, so
// they can stand in for any.
func (p Program) runs(v Variant) bool {
	_, ok := p.Images[v.Form]
	return ok || slices.Contains(references, v.Name)
}

// image of the form that a variant wants.
func (p Program) image(v Variant) image.Image {
	if img, ok := p.Images[v.Form]; ok {
		return img
	}
	return p.Images[wasm]
}

// builder builds programs in a directory that stays, since SQLite takes half a
// minute and twice that on a busy machine.
type builder struct {
	bed.Builder
	source string // the directory of this program's sources
}

// sqliteFlags leave out what needs an operating system, and some of what makes
// it larger than the engines for scripts that people run as Wasm.
var sqliteFlags = []string{"-Oz", "-DSQLITE_THREADSAFE=0", "-DSQLITE_OMIT_LOAD_EXTENSION", "-DSQLITE_OMIT_WAL", "-DSQLITE_MAX_MMAP_SIZE=0",
	"-DSQLITE_OMIT_DEPRECATED", "-DSQLITE_OMIT_SHARED_CACHE", "-DSQLITE_OMIT_JSON", "-DSQLITE_OMIT_UTF16", "-DSQLITE_OMIT_DESERIALIZE",
	"-DSQLITE_OMIT_INCRBLOB", "-DSQLITE_OMIT_COMPILEOPTION_DIAGS", "-DSQLITE_OMIT_TRACE", "-DSQLITE_OMIT_AUTHORIZATION",
	"-DSQLITE_OMIT_PROGRESS_CALLBACK", "-DSQLITE_UNTESTABLE"}

// programs builds all programs, the smallest first.
func (b builder) programs(ctx context.Context) ([]Program, error) {
	var all []Program
	for _, build := range []func(context.Context) (Program, error){b.hello, b.sqlite, b.goHello, b.python} {
		p, err := build(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

func (b builder) hello(ctx context.Context) (Program, error) {
	src := filepath.Join(b.source, "programs", "hello.c")
	module, err := b.Compile(ctx, "hello.wasm", append(bed.WasmCC(), "-O2", src), nil, src)
	if err != nil {
		return Program{}, err
	}
	twin, err := b.Compile(ctx, "hello", append(bed.NativeCC(), "-O2", src), nil, src)
	return saying("C hello", "c", "clang 14, wasi-libc", "gcc -static, glibc", module, twin), err
}

func (b builder) sqlite(ctx context.Context) (Program, error) {
	list := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/mattn/go-sqlite3")
	list.Dir = b.source
	if err := bed.Tool(exec.CommandContext(ctx, "go", "-C", b.source, "mod", "download", "github.com/mattn/go-sqlite3")); err != nil {
		return Program{}, err
	}
	out, err := list.Output()
	if err != nil {
		return Program{}, fmt.Errorf("find the source of SQLite: %w", err)
	}
	dir := strings.TrimSpace(string(out))
	src, amalgamation := filepath.Join(b.source, "programs", "sqlite.c"), filepath.Join(dir, "sqlite3-binding.c")
	// The library is not ours to be warned about.
	flags := append([]string{"-w", "-I", dir, src, amalgamation}, sqliteFlags...)
	emulated := []string{"-D_WASI_EMULATED_GETPID", "-D_WASI_EMULATED_MMAN", "-lwasi-emulated-getpid", "-lwasi-emulated-mman"}
	module, err := b.Compile(ctx, "sqlite.wasm", append(append(bed.WasmCC(), flags...), emulated...), nil, src, amalgamation)
	if err != nil {
		return Program{}, err
	}
	twin, err := b.Compile(ctx, "sqlite", append(bed.NativeCC(), flags...), nil, src, amalgamation)
	return saying("C SQLite", "sqlite", "clang 14, wasi-libc, SQLite 3", "gcc -static, glibc, SQLite 3", module, twin), err
}

func (b builder) goHello(ctx context.Context) (Program, error) {
	dir := filepath.Join(b.source, "programs", "hello")
	command := []string{"go", "build", "-C", dir, "-trimpath", "-buildvcs=false", "-ldflags=-s"}
	src := filepath.Join(dir, "main.go")
	module, err := b.Compile(ctx, "gohello.wasm", command, []string{"GOOS=wasip1", "GOARCH=wasm"}, src)
	if err != nil {
		return Program{}, err
	}
	twin, err := b.Compile(ctx, "gohello", command, []string{"CGO_ENABLED=0"}, src)
	return saying("Go hello", "go", "go build, wasip1", "go build, static", module, twin), err
}

// saying is a program that says its first argument.
func saying(name, key, aboutWasm, aboutNative string, module, twin []byte) Program {
	return Program{
		Name: name, Key: key, Bytes: int64(len(module)),
		About: map[form]string{wasm: aboutWasm, native: aboutNative},
		Once:  []string{"hello"}, Idle: []string{"idle"},
		Images: map[form]image.Image{
			wasm:   imageOf(key, wasm, "/program.wasm", map[string]image.File{"/program.wasm": {Data: module}}),
			native: imageOf(key, native, "/program", map[string]image.File{"/program": {Data: twin}}),
		},
	}
}

func imageOf(key string, f form, program string, files map[string]image.File) image.Image {
	return image.Image{
		Name: "bench.local/" + key + "-" + string(f) + ":1", Files: files,
		Config: v1.ImageConfig{Entrypoint: []string{program}},
	}
}
