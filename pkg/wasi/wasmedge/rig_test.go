package wasmedge

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/engine/linmem"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi/preview1"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi/promised"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ofPreview1 are functions that guests use with those of the extension.
var ofPreview1 = []preview1.Extension{
	{Name: "sock_accept", Params: "iii"}, {Name: "sock_recv", Params: "iiiiii"}, {Name: "sock_send", Params: "iiiii"},
	{Name: "sock_shutdown", Params: "ii"}, {Name: "fd_close", Params: "i"}, {Name: "fd_fdstat_set_flags", Params: "ii"},
	{Name: "poll_oneoff", Params: "iiii"}, {Name: "fd_fdstat_get", Params: "ii"}, {Name: "fd_fdstat_set_rights", Params: "iII"},
	{Name: "path_filestat_get", Params: "iiiii"},
}

// rig is a guest that passes calls on. It has the functions of both versions, with
// the number of parameters at the end of their names.
type rig struct {
	t      testing.TB
	ctx    context.Context
	system *preview1.System
	module api.Module
	used   uint32
}

func imported() []preview1.Extension {
	return append(append([]preview1.Extension{accept1}, functions...), ofPreview1...)
}

// passing is a module that imports one function and exports what calls it: of one
// host module there cannot be two functions with a name, so each version has one.
func passing(t testing.TB, dir string, version int) []byte {
	t.Helper()
	var imports, exports strings.Builder
	for _, x := range ofVersion(version) {
		params := strings.NewReplacer("i", " i32", "I", " i64").Replace(x.Params)
		pass := ""
		for i := range x.Params {
			pass += fmt.Sprintf("(local.get %d) ", i)
		}
		fmt.Fprintf(&imports, "(import %q %q (func $%s (param%s) (result i32)))\n", preview1.ModuleName, x.Name, x.Name, params)
		fmt.Fprintf(&exports, "(func (export %q) (param%s) (result i32) (call $%s %s))\n", x.Name, params, x.Name, pass)
	}
	in, out := filepath.Join(dir, "rig.wat"), filepath.Join(dir, "rig.wasm")
	must(t, os.WriteFile(in, []byte("(module "+imports.String()+"(memory (export \"memory\") 40)"+exports.String()+")"), 0o600))
	if text, err := exec.Command("wat2wasm", "-o", out, in).CombinedOutput(); err != nil {
		t.Fatalf("wat2wasm (of the package wabt): %v\n%s", err, text)
	}
	data, err := os.ReadFile(out)
	must(t, err)
	return data
}

// ofVersion are the functions that a guest of one version imports.
func ofVersion(version int) (list []preview1.Extension) {
	taken := map[string]int{}
	for _, x := range imported() {
		i, double := taken[x.Name]
		switch {
		case !double:
			taken[x.Name] = len(list)
			list = append(list, x)
		case version == 2:
			list[i] = x
		}
	}
	return list
}

// newRig starts a guest of a version with a System, the stdio of which is /dev/null
// unless it says otherwise.
func newRig(t testing.TB, version int, c preview1.Config) *rig {
	t.Helper()
	if c.Stdio == [3]int{} {
		for i := range c.Stdio {
			fd, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
			must(t, err)
			c.Stdio[i] = fd
		}
	}
	system, err := preview1.New(c)
	must(t, err)
	t.Cleanup(system.Close)
	r := &rig{t: t, used: 64, system: system, ctx: preview1.WithSystem(context.Background(), system)}
	runtime := wazero.NewRuntimeWithConfig(r.ctx, wazero.NewRuntimeConfigInterpreter())
	t.Cleanup(func() { runtime.Close(r.ctx) })
	host(t, r.ctx, runtime, passing(t, t.TempDir(), version))
	// Memory that is mapped, as guests have it, takes none until it is used.
	r.module, err = runtime.Instantiate(experimental.WithMemoryAllocator(r.ctx, linmem.Unlimited()), passing(t, t.TempDir(), version))
	must(t, err)
	return r
}

// host gives a module what it imports.
func host(t testing.TB, ctx context.Context, r wazero.Runtime, module []byte) {
	t.Helper()
	compiled, err := r.CompileModule(ctx, module)
	must(t, err)
	defer compiled.Close(ctx)
	b := r.NewHostModuleBuilder(preview1.ModuleName)
	rest := map[string]bool{}
	for _, f := range compiled.ImportedFunctions() {
		if _, name, _ := f.Import(); !Export(b, name, f.ParamTypes()) {
			rest[name] = true
		}
	}
	preview1.Export(b, func(name string) bool { return rest[name] })
	_, err = b.Instantiate(ctx)
	must(t, err)
}

func (r *rig) call(name string, args ...uint64) preview1.Errno {
	r.t.Helper()
	results, err := r.module.ExportedFunction(name).Call(r.ctx, args...)
	must(r.t, err)
	seen.Add(name, int(results[0]))
	return preview1.Errno(results[0])
}

// seen are the errors that guests got in all tests.
var seen promised.Seen

func TestMain(m *testing.M) { os.Exit(seen.Main(m, "../preview1/errno.go")) }

func (r *rig) expect(want preview1.Errno, name string, args ...uint64) {
	r.t.Helper()
	if got := r.call(name, args...); got != want {
		r.t.Errorf("%s(%d) is %d, want %d", name, args, got, want)
	}
}

// ok calls a function that has to succeed.
func (r *rig) ok(name string, args ...uint64) {
	r.t.Helper()
	if got := r.call(name, args...); got != 0 {
		r.t.Fatalf("%s(%d) is %d", name, args, got)
	}
}

func (r *rig) room(size int) uint64 {
	at := r.used
	r.used += uint32(size+7) &^ 7
	return uint64(at)
}

func (r *rig) put(data []byte) uint64 {
	at := r.room(len(data))
	if !r.module.Memory().Write(uint32(at), data) {
		r.t.Fatal("the guest has no memory left")
	}
	return at
}

func words(list ...uint64) (b []byte) {
	for _, w := range list {
		b = binary.LittleEndian.AppendUint32(b, uint32(w))
	}
	return b
}

// pair is a {pointer, length} of data.
func (r *rig) pair(data []byte) (at, buffer uint64) {
	buffer = r.put(data)
	return r.put(words(buffer, uint64(len(data)))), buffer
}

func (r *rig) read(at uint64, size int) []byte {
	r.t.Helper()
	data, ok := r.module.Memory().Read(uint32(at), uint32(size))
	if !ok {
		r.t.Fatalf("%d bytes at %d are not in memory", size, at)
	}
	return data
}

func (r *rig) u32(at uint64) uint64 { return uint64(binary.LittleEndian.Uint32(r.read(at, 4))) }

// outside is no address of the guest's memory.
const outside = 0xfffffff0

// open makes a socket.
func (r *rig) open(family, kind uint64) uint64 {
	r.t.Helper()
	at := r.room(4)
	r.ok("sock_open", family, kind, at)
	return r.u32(at)
}
