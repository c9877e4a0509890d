package wasi

import (
	"context"
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	preview1 "github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// Preview1 is the import module of WASI preview 1.
const Preview1 = preview1.ModuleName

// Host is what the modules of this package offer to guests.
type Host struct {
	functions map[string]map[string]api.FunctionDefinition
}

// Instantiate adds the host's modules to a runtime.
func Instantiate(ctx context.Context, r wazero.Runtime) (*Host, error) {
	h := &Host{functions: make(map[string]map[string]api.FunctionDefinition)}
	builder := r.NewHostModuleBuilder(Preview1)
	preview1.NewFunctionExporter().ExportFunctions(builder)
	if err := h.add(ctx, r, Preview1, builder); err != nil {
		return nil, err
	}
	return h, nil
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
