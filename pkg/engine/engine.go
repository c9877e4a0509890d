// Package engine is wazero as the runner and the compiler of this project use
// it: which proposals are on, what a module may import, how its code gets out of
// one process and into another.
//
// wazero would exchange code through a directory. Here the compiler hands it out
// as bytes (Compile), and a runner takes it from an entry of the cache (see
// package entry) that it maps into its memory.
package engine

import (
	"context"
	"errors"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi"
)

// features are the proposals that guests may use. Left out are exceptions, whose
// compiled code corrupts locals in wazero 1.12.0 (its issue 2503).
const features = api.CoreFeaturesV2 |
	experimental.CoreFeaturesThreads |
	experimental.CoreFeaturesTailCall |
	experimental.CoreFeaturesExtendedConst |
	experimental.CoreFeaturesTypedFunctionReferences

// ErrUnsupported is the error of Compile where no code can be generated: the
// interpreter has to run the module.
var ErrUnsupported = errors.New("no code can be generated on this machine")

// Runtime is wazero, ready to take one module. The host's functions come with
// CheckImports, or Load.
//
// A guest cannot be interrupted in its process (no WithCloseOnContextDone): that
// makes loops up to 14 times slower, and the shim ends the process instead.
type Runtime struct {
	wazero.Runtime
	host *wasi.Host // nil until a module is known
	// exchange is where code comes from or goes to; nil if neither.
	exchange *exchange
}

// NewInterpreter returns a runtime that generates no code, for machines where
// that is not possible (see CompilerWorks).
func NewInterpreter(ctx context.Context) *Runtime {
	return newRuntime(ctx, wazero.NewRuntimeConfigInterpreter(), nil)
}

// NewCompiler returns a runtime that compiles modules for this process alone.
func NewCompiler(ctx context.Context) *Runtime {
	return newRuntime(ctx, wazero.NewRuntimeConfigCompiler(), nil)
}

// NewLoader returns a runtime that takes the code of its module from elsewhere,
// see Load. The error is an ErrInternals if this wazero cannot.
func NewLoader(ctx context.Context) (*Runtime, error) {
	return newExchanging(ctx)
}

func newExchanging(ctx context.Context) (*Runtime, error) {
	e := &exchange{}
	cache, err := e.cache()
	if err != nil {
		return nil, err
	}
	return newRuntime(ctx, wazero.NewRuntimeConfigCompiler().WithCompilationCache(cache), e), nil
}

func newRuntime(ctx context.Context, config wazero.RuntimeConfig, e *exchange) *Runtime {
	// Debug information would only serve line numbers in traps, but is slow to
	// read.
	return &Runtime{
		Runtime:  wazero.NewRuntimeWithConfig(ctx, config.WithCoreFeatures(features).WithDebugInfoEnabled(false)),
		exchange: e,
	}
}
