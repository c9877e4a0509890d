package wasi

import (
	"context"
	"slices"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/engine/wasmbin"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi/preview1"
)

func TestHostHasWhatIsImported(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for name, imports := range map[string][]wasmbin.Import{
		"none":    nil,
		"some":    {{Module: preview1.ModuleName, Name: "fd_write"}, {Module: preview1.ModuleName, Name: "proc_exit"}},
		"unknown": {{Module: preview1.ModuleName, Name: "fd_write"}, {Module: preview1.ModuleName, Name: "no_such_function"}, {Module: "env", Name: "fd_read"}},
		"older":   {{Module: preview1.UnstableName, Name: "fd_seek"}, {Module: preview1.UnstableName, Name: "sock_accept"}},
		"WasmEdge's": {
			{Module: preview1.ModuleName, Name: "sock_open", Type: wasmbin.FuncType{Params: parameters(3)}},
			{Module: preview1.ModuleName, Name: "sock_accept", Type: wasmbin.FuncType{Params: parameters(2)}},
		},
		"both": {{Module: preview1.UnstableName, Name: "fd_seek"}, {Module: preview1.ModuleName, Name: "fd_seek"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
			defer r.Close(ctx)
			h, err := Instantiate(ctx, r, imports)
			if err != nil {
				t.Fatal(err)
			}
			for _, module := range []string{preview1.ModuleName, preview1.UnstableName, "env"} {
				for _, name := range []string{"fd_write", "fd_read", "fd_seek", "proc_exit", "sock_accept", "sock_open", "no_such_function"} {
					want := false
					for _, i := range imports {
						want = want || i.Module == module && i.Name == name
					}
					want = want && module != "env" && name != "no_such_function" && (name != "sock_accept" || module == preview1.ModuleName)
					if _, _, ok := h.Function(module, name); ok != want {
						t.Errorf("%s of %s is there: %t, want %t", name, module, ok, want)
					}
				}
			}
		})
	}
}

func parameters(n int) []api.ValueType { return slices.Repeat([]api.ValueType{api.ValueTypeI32}, n) }

// TestVersionOfAcceptIsThatOfTheImport: preview 1's has three parameters.
func TestVersionOfAcceptIsThatOfTheImport(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, n := range []int{2, 3} {
		r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
		defer r.Close(ctx)
		h, err := Instantiate(ctx, r, []wasmbin.Import{{Module: preview1.ModuleName, Name: "sock_accept", Type: wasmbin.FuncType{Params: parameters(n)}}})
		if err != nil {
			t.Fatal(err)
		}
		if params, _, _ := h.Function(preview1.ModuleName, "sock_accept"); len(params) != n {
			t.Errorf("%d parameters, want %d", len(params), n)
		}
	}
}
