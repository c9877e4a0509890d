package wasi

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"unsafe"

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

// Instantiate adds the host's modules to a runtime, with those functions that are
// wanted and no others: wazero generates code for each, which takes longer than
// loading a small program.
func Instantiate(ctx context.Context, r wazero.Runtime, wanted func(module, name string) bool) (*Host, error) {
	h := &Host{functions: make(map[string]map[string]api.FunctionDefinition)}
	builder := r.NewHostModuleBuilder(Preview1)
	preview1.NewFunctionExporter().ExportFunctions(builder)
	keepOnly(builder, func(name string) bool { return wanted(Preview1, name) })
	if err := h.add(ctx, r, Preview1, builder); err != nil {
		return nil, err
	}
	return h, nil
}

// keepOnly takes the other functions out of a builder, for which wazero has no way.
// A builder that looks different inside keeps them all.
func keepOnly(builder wazero.HostModuleBuilder, wanted func(name string) bool) {
	v := reflect.ValueOf(builder)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return
	}
	field := v.Elem().FieldByName("exportNames")
	if !field.IsValid() || field.Type() != reflect.TypeFor[[]string]() {
		return
	}
	names := (*[]string)(unsafe.Pointer(field.UnsafeAddr()))
	*names = slices.DeleteFunc(*names, func(name string) bool { return !wanted(name) })
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
