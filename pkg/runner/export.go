package runner

import (
	"fmt"
	"strings"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/engine/wasmbin"
)

// Exports with a meaning, see
// https://github.com/WebAssembly/WASI/blob/wasi-0.1/application-abi.md.
const (
	// startExport is the entry point of a command.
	startExport = "_start"
	// initializeExport prepares a reactor before any other export is called.
	initializeExport = "_initialize"
)

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
