package engine

import (
	"bytes"
	"context"
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/engine/wasmbin"
)

// Compile turns a module, name in messages, into machine code, with the given
// number of threads at once, each of which needs memory of its own.
//
// Errors are sentences about the module for its user, except ErrUnsupported and
// ErrInternals. What cannot run is refused before time is spent on compiling it.
// Whether it has the function that a container asks for is not looked at.
func Compile(ctx context.Context, module []byte, name string, workers int) (*Code, error) {
	if !CompilerWorks() {
		return nil, ErrUnsupported
	}
	outline, err := ParseOutline(module, name)
	if err != nil {
		return nil, err
	}
	m, err := readModule(bytes.NewReader(module), int64(len(module)), name, true)
	if err != nil {
		return nil, err
	}
	r, err := newExchanging(ctx)
	if err != nil {
		return nil, err
	}
	defer r.Close(ctx)
	if err := r.CheckImports(ctx, outline, name); err != nil {
		return nil, err
	}
	// The result is only needed as bytes.
	_, err = r.CompileModule(experimental.WithCompilationWorkers(ctx, workers), module)
	if err != nil {
		return nil, explainCompileError(name, err, outline)
	}
	if r.exchange.compiled == nil {
		return nil, fmt.Errorf("%w: it has not handed out the code", ErrInternals)
	}
	code, err := split(r.exchange.compiled)
	if err == nil {
		err = checkParts(code.Prefix, code.Suffix, int64(len(code.Code)), m.functions)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: the code that it has handed out cannot be used: %w", ErrInternals, err)
	}
	code.Key = m.Key
	return code, nil
}

// CompileHere compiles a module for use in this process, with code or, if r
// interprets, without. Errors are sentences about the module. The module's bytes
// are not needed afterwards.
func (r *Runtime) CompileHere(ctx context.Context, module []byte, name string, outline *wasmbin.Module, workers int) (wazero.CompiledModule, error) {
	compiled, err := r.CompileModule(experimental.WithCompilationWorkers(ctx, workers), module)
	if err != nil {
		return nil, explainCompileError(name, err, outline)
	}
	return compiled, nil
}
