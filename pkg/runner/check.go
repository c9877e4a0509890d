package runner

import (
	"fmt"
	"slices"
	"strings"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/runner/wasmbin"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi"
)

// Exports with a meaning, see
// https://github.com/WebAssembly/WASI/blob/wasi-0.1/application-abi.md.
const (
	// startExport is the entry point of a command.
	startExport = "_start"
	// initializeExport prepares a reactor before any other export is called.
	initializeExport = "_initialize"
)

// checkImports finds the first import that nobody provides. Its errors go on
// after the module's name.
func checkImports(m *wasmbin.Module, host *wasi.Host) error {
	for _, i := range m.Imports {
		if err := checkImport(i, host); err != nil {
			return err
		}
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
	{"wasi_snapshot_preview1", "sock_", "it uses the sockets of WasmEdge; build it without them"},
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

// checkExport makes sure that the function to call exists and needs nothing that
// a container cannot give it.
func checkExport(m *wasmbin.Module, name string) error {
	for _, e := range m.Exports {
		if e.Name != name {
			continue
		}
		if e.Kind != wasmbin.KindFunction {
			return fmt.Errorf("exports %q as a %s, not as a function", name, e.Kind)
		}
		if len(e.Type.Params)+len(e.Type.Results) > 0 {
			return fmt.Errorf("exports the function %q as %s; a container can only call one without parameters and results", name, e.Type)
		}
		return nil
	}
	return fmt.Errorf("does not export a function %q; %s", name, alternatives(m))
}

// alternatives names what the user could have meant.
func alternatives(m *wasmbin.Module) string {
	const most = 8
	var names []string
	for _, e := range m.Exports {
		if e.Kind == wasmbin.KindFunction && len(e.Type.Params)+len(e.Type.Results) == 0 && e.Name != initializeExport {
			names = append(names, fmt.Sprintf("%q", e.Name))
		}
	}
	if len(names) == 0 {
		return "it exports no function that a container can call: build it as a command, not as a library"
	}
	if len(names) > most {
		names = append(names[:most], "…")
	}
	return "append #name to the module's path to call another one; it exports " + strings.Join(names, ", ")
}

// callable tells whether the module exports a function without parameters and
// results under this name.
func callable(m *wasmbin.Module, name string) bool {
	return checkExport(m, name) == nil
}
