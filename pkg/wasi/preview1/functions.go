package preview1

import (
	"context"
	"slices"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// ModuleName is the name under which guests import the functions.
const ModuleName = "wasi_snapshot_preview1"

// function is one that guests can import. Its parameters are letters: i for i32,
// I for i64. Its result is an errno, unless it never returns.
type function struct {
	name   string
	params string
	call   func(s *System, m memory, a arguments) Errno
}

// arguments are a function's, in order.
type arguments []uint64

func (a arguments) u32(i int) uint32 { return uint32(a[i]) }
func (a arguments) i64(i int) int64  { return int64(a[i]) }

// functions are all of the specification, in the order of files here.
func functions() []function {
	return slices.Concat(argsFunctions, environFunctions, clockFunctions, fdFunctions, fdDataFunctions,
		fdSyncFunctions, fdSeekFunctions, fdFdstatFunctions, fdFilestatFunctions, fdPrestatFunctions, fdReaddirFunctions,
		pathOpenFunctions, pathEntryFunctions, pathLinkFunctions, pathFilestatFunctions, pollFunctions,
		procFunctions, randomFunctions, schedFunctions, sockFunctions)
}

// Export adds those functions to a host module that are wanted, by their names.
func Export(b wazero.HostModuleBuilder, wanted func(name string) bool) {
	for _, f := range functions() {
		if wanted(f.name) {
			f.export(b)
		}
	}
}

func (f function) export(b wazero.HostModuleBuilder) {
	results := []api.ValueType{api.ValueTypeI32}
	if f.name == procExit {
		results = nil
	}
	call := f.call
	b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, mod api.Module, stack []uint64) {
		e := call(systemOf(ctx), memory{Memory: memoryOf(mod)}, stack)
		if len(stack) > 0 {
			stack[0] = uint64(e)
		}
	}), valueTypes(f.params), results).Export(f.name)
}

func valueTypes(letters string) []api.ValueType {
	types := make([]api.ValueType, len(letters))
	for i, l := range letters {
		types[i] = api.ValueTypeI32
		if l == 'I' {
			types[i] = api.ValueTypeI64
		}
	}
	return types
}
