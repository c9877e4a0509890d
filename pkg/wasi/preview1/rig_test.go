package preview1

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/engine/linmem"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi/promised"
)

// rig is a guest that passes calls on: a test calls functions through the engine, as
// a guest does, with memory of its own.
type rig struct {
	t      testing.TB
	ctx    context.Context
	system *System
	module api.Module
	used   uint32
	// within is where calls are made, if not where the test is.
	within *chamber
	// calls is how many were made.
	calls int
}

// passing is a module that imports every function, by both names, and exports one that
// calls it.
var passing = sync.OnceValues(func() ([]byte, error) {
	var imports, exports strings.Builder
	for module, all := range map[string][]function{ModuleName: functions(), UnstableName: unstableFunctions()} {
		for _, f := range all {
			var params, pass strings.Builder
			for i, letter := range f.params {
				params.WriteString(map[rune]string{'i': " i32", 'I': " i64"}[letter])
				fmt.Fprintf(&pass, "(local.get %d) ", i)
			}
			result := "(result i32)"
			if f.name == procExit {
				result = ""
			}
			name := exported(module, f.name)
			fmt.Fprintf(&imports, "(import %q %q (func $%s (param%s) %s))\n", module, f.name, name, params.String(), result)
			fmt.Fprintf(&exports, "(func (export %q) (param%s) %s (call $%s %s))\n", name, params.String(), result, name, pass.String())
		}
	}
	return assemble("(module " + imports.String() + "(memory (export \"memory\") 40)" + exports.String() + ")")
})

// assemble makes a module of its text.
func assemble(text string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "rig-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	in, out := filepath.Join(dir, "rig.wat"), filepath.Join(dir, "rig.wasm")
	if err := os.WriteFile(in, []byte(text), 0o600); err != nil {
		return nil, err
	}
	if text, err := exec.Command("wat2wasm", "-o", out, in).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("wat2wasm (of the package wabt): %w\n%s", err, text)
	}
	return os.ReadFile(out)
}

// exported is the name of what calls a function.
func exported(module, function string) string { return module + "." + function }

// newRig starts a guest that sees what c says. Stdio is /dev/null unless c has some.
func newRig(t testing.TB, c Config) *rig {
	t.Helper()
	data, err := passing()
	must(t, err)
	if c.Stdio == [3]int{} {
		for i := range c.Stdio {
			c.Stdio[i] = openFile(t, os.DevNull)
		}
	}
	r := &rig{t: t, used: 64}
	r.system, err = New(c)
	must(t, err)
	t.Cleanup(r.system.Close)
	r.ctx = WithSystem(context.Background(), r.system)
	runtime := wazero.NewRuntimeWithConfig(r.ctx, wazero.NewRuntimeConfigInterpreter())
	t.Cleanup(func() { runtime.Close(r.ctx) })
	host := runtime.NewHostModuleBuilder(ModuleName)
	Export(host, func(string) bool { return true })
	_, err = host.Instantiate(r.ctx)
	must(t, err)
	host = runtime.NewHostModuleBuilder(UnstableName)
	ExportUnstable(host, func(string) bool { return true })
	_, err = host.Instantiate(r.ctx)
	must(t, err)
	// Memory that is mapped, as guests have it, takes none until it is used.
	r.module, err = runtime.Instantiate(experimental.WithMemoryAllocator(r.ctx, linmem.Unlimited()), data)
	must(t, err)
	return r
}

// call calls a function. What snapshot 0 has too is called there every other time: it
// has to be the same.
func (r *rig) call(name string, args ...uint64) Errno {
	r.t.Helper()
	module := ModuleName
	if r.calls++; r.calls%2 == 0 && !slices.Contains(changed, name) {
		module = UnstableName
	}
	e := r.callOf(module, name, args...)
	seen.Add(name, int(e))
	return e
}

// changed are the functions that are not the same in snapshot 0.
var changed = []string{"fd_seek", "poll_oneoff", "fd_filestat_get", "path_filestat_get", "sock_accept"}

func (r *rig) callOf(module, name string, args ...uint64) Errno {
	r.t.Helper()
	results, err := r.try(module, name, args...)
	must(r.t, err)
	return Errno(results[0])
}

// try calls a function that may end the guest.
func (r *rig) try(module, name string, args ...uint64) (results []uint64, err error) {
	call := func() { results, err = r.module.ExportedFunction(exported(module, name)).Call(r.ctx, args...) }
	if r.within != nil {
		r.within.do(call)
	} else {
		call()
	}
	return results, err
}

// seen are the errors that guests got in all tests.
var seen promised.Seen

func TestMain(m *testing.M) { os.Exit(seen.Main(m, "errno.go")) }

// expect calls a function that has to return want.
func (r *rig) expect(want Errno, name string, args ...uint64) {
	r.t.Helper()
	if got := r.call(name, args...); got != want {
		r.t.Errorf("%s(%d) is %d, want %d", name, args, got, want)
	}
}

// room reserves memory of the guest.
func (r *rig) room(size int) uint64 {
	at := r.used
	r.used += uint32(size+7) &^ 7
	return uint64(at)
}

// put is room for data, with the data.
func (r *rig) put(data []byte) uint64 {
	at := r.room(len(data))
	if !r.module.Memory().Write(uint32(at), data) {
		r.t.Fatal("the guest has no memory left")
	}
	return at
}

// vectors are iovecs for buffers of these sizes, and where the buffers are.
func (r *rig) vectors(sizes ...int) (at uint64, buffers []uint64) {
	var array []byte
	for _, size := range sizes {
		b := r.room(size)
		buffers = append(buffers, b)
		array = binary.LittleEndian.AppendUint32(array, uint32(b))
		array = binary.LittleEndian.AppendUint32(array, uint32(size))
	}
	return r.put(array), buffers
}

// texts are iovecs of strings.
func (r *rig) texts(texts ...string) uint64 {
	var sizes []int
	for _, s := range texts {
		sizes = append(sizes, len(s))
	}
	at, buffers := r.vectors(sizes...)
	for i, s := range texts {
		r.module.Memory().Write(uint32(buffers[i]), []byte(s))
	}
	return at
}

func (r *rig) read(at uint64, size int) []byte {
	r.t.Helper()
	data, ok := r.module.Memory().Read(uint32(at), uint32(size))
	if !ok {
		r.t.Fatalf("%d bytes at %d are not in memory", size, at)
	}
	return data
}

func (r *rig) u16(at uint64) uint16 { return binary.LittleEndian.Uint16(r.read(at, 2)) }
func (r *rig) u32(at uint64) uint32 { return binary.LittleEndian.Uint32(r.read(at, 4)) }

// outside is no address of the guest's memory.
const outside = 0xfffffff0

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
