// Package wasi gives guests what they import: WASI preview 1, as documented at
// https://github.com/WebAssembly/WASI/blob/wasi-0.1/preview1/docs.md, its predecessor,
// and WasmEdge's sockets.
package wasi

import (
	"context"
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/engine/wasmbin"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi/preview1"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi/wasmedge"
)

// Host is what a guest can import.
type Host struct {
	functions map[string]map[string]api.FunctionDefinition
}

// Instantiate adds the host's modules to a runtime, with those functions that are
// imported and no others: wazero generates code for each, which takes longer than
// loading a small program.
func Instantiate(ctx context.Context, r wazero.Runtime, imports []wasmbin.Import) (*Host, error) {
	h := &Host{functions: make(map[string]map[string]api.FunctionDefinition)}
	for name, export := range modules {
		imported := make(map[string][]api.ValueType)
		for _, i := range imports {
			if i.Module == name {
				imported[i.Name] = i.Type.Params
			}
		}
		if len(imported) == 0 {
			continue
		}
		builder := r.NewHostModuleBuilder(name)
		export(builder, imported)
		if err := h.add(ctx, r, name, builder); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// modules add to a host module what is imported of it: functions by their names, with
// their parameters.
var modules = map[string]func(b wazero.HostModuleBuilder, imported map[string][]api.ValueType){
	preview1.ModuleName:   exportPreview1,
	preview1.UnstableName: exportUnstable,
}

// exportPreview1 adds WASI's functions, and those that WasmEdge has besides: they have
// names, or parameters, of their own.
func exportPreview1(b wazero.HostModuleBuilder, imported map[string][]api.ValueType) {
	extended := make(map[string]bool)
	for name, params := range imported {
		extended[name] = wasmedge.Export(b, name, params)
	}
	preview1.Export(b, func(name string) bool {
		_, wanted := imported[name]
		return wanted && !extended[name]
	})
}

func exportUnstable(b wazero.HostModuleBuilder, imported map[string][]api.ValueType) {
	preview1.ExportUnstable(b, func(name string) bool {
		_, wanted := imported[name]
		return wanted
	})
}

func (h *Host) add(ctx context.Context, r wazero.Runtime, name string, builder wazero.HostModuleBuilder) error {
	compiled, err := builder.Compile(ctx)
	if err != nil {
		return fmt.Errorf("compile the host module %s: %w", name, err)
	}
	if _, err := r.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithName(name)); err != nil {
		return fmt.Errorf("instantiate the host module %s: %w", name, err)
	}
	h.functions[name] = compiled.ExportedFunctions()
	return nil
}

// Function returns the parameters and results of a function, or false if the
// host has none of this name.
func (h *Host) Function(module, name string) (params, results []api.ValueType, ok bool) {
	f, ok := h.functions[module][name]
	if !ok {
		return nil, nil, false
	}
	return f.ParamTypes(), f.ResultTypes(), true
}
