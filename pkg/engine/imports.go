package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/engine/wasmbin"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi"
)

// CheckImports finds the first import that nobody provides. Its error is a
// sentence about the module of this name. The others are there afterwards.
func (r *Runtime) CheckImports(ctx context.Context, m *wasmbin.Module, name string) error {
	if err := r.provide(ctx, m); err != nil {
		return err
	}
	for _, i := range m.Imports {
		if err := checkImport(i, r.host); err != nil {
			return fmt.Errorf("module %q %w", name, err)
		}
	}
	return nil
}

// provide makes what a module imports of the host.
func (r *Runtime) provide(ctx context.Context, m *wasmbin.Module) (err error) {
	if r.host != nil {
		return nil
	}
	if r.host, err = wasi.Instantiate(ctx, r.Runtime, m.Imports); err != nil {
		return fmt.Errorf("prepare WASI: %w", err)
	}
	return nil
}

func checkImport(i wasmbin.Import, host *wasi.Host) error {
	params, results, known := host.Function(i.Module, i.Name)
	if !known || i.Kind != wasmbin.KindFunction {
		return fmt.Errorf("imports %q.%q (%s), which WASI preview 1 does not provide; %s", i.Module, i.Name, i.Kind, remedy(i))
	}
	provided := wasmbin.FuncType{Params: params, Results: results}
	if !i.Type.Equal(provided) {
		return fmt.Errorf("imports %q.%q as a function %s, but in WASI preview 1 it is %s; build the module for wasip1", i.Module, i.Name, i.Type, provided)
	}
	return nil
}

// remedies are the things that people really try to run, by what they import.
// The first entry that fits is used.
var remedies = []struct {
	module, name string // prefixes
	advice       string
}{
	{"wasi:", "", "it is a part of a WASI 0.2 component; build the module for wasip1"},
	{"wasi_unstable", "", "it was built for an older WASI; build it again for wasip1"},
	{"wasi_snapshot_preview2", "", "build the module for wasip1"},
	{"wasi", "thread-spawn", "it uses threads of wasi-threads; build it without threads"},
	{"wasix", "", "it was built for WASIX; build the module for wasip1"},
	{"gojs", "", "it was built with GOOS=js; build it with GOOS=wasip1"},
	{"go", "", "it was built with GOOS=js; build it with GOOS=wasip1"},
	{"wbg", "", "it was built for JavaScript by wasm-bindgen; build it for the target wasm32-wasip1"},
	{"__wbindgen", "", "it was built for JavaScript by wasm-bindgen; build it for the target wasm32-wasip1"},
	{"./", "_bg.js", "it was built for JavaScript by wasm-bindgen; build it for the target wasm32-wasip1"},
	{"env", "emscripten_", "it was built by Emscripten for JavaScript; build it with wasi-sdk, or with -sSTANDALONE_WASM"},
	{"env", "invoke_", "it was built by Emscripten for JavaScript; build it with wasi-sdk, or with -sSTANDALONE_WASM"},
	{"env", "__syscall_", "it was built by Emscripten for JavaScript; build it with wasi-sdk, or with -sSTANDALONE_WASM"},
	{"env", "abort", "it was built by AssemblyScript without WASI; use its wasi-shim"},
	{"a", "", "it was built by Emscripten for JavaScript; build it with wasi-sdk, or with -sSTANDALONE_WASM"},
}

// exactModules are import modules of one or two letters, or common words, whose
// name must match in full.
var exactModules = []string{"a", "go", "env", "wasi", "wbg", "gojs"}

func remedy(i wasmbin.Import) string {
	for _, r := range remedies {
		fits := strings.HasPrefix(i.Module, r.module)
		if slices.Contains(exactModules, r.module) {
			fits = i.Module == r.module
		}
		if fits && strings.HasPrefix(i.Name, r.name) {
			return r.advice
		}
	}
	if i.Kind == wasmbin.KindMemory {
		return "it expects its host to own its memory; link it without --import-memory, for wasip1"
	}
	return "build the module for wasip1"
}
