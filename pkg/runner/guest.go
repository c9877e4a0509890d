package runner

import (
	"context"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/engine"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/engine/linmem"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/runner/cell"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/runner/gateway"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi/preview1"
)

// guest is a module that is ready to run.
type guest struct {
	job      *job.Job
	runtime  *engine.Runtime
	compiled wazero.CompiledModule
	// system is what the module sees.
	system *preview1.System
	memory *linmem.Allocator
	// initialize tells that the module is a reactor, whose _initialize has to
	// run before any other export.
	initialize bool
	// sockets are what the module can do with sockets.
	sockets cell.Sockets
	// use is where the machine code is from.
	use job.CodeUse
	// server answers requests, by instances of program; nil if the guest runs by itself.
	server  gateway.Server
	program *program
}

// call runs the guest to its end.
func (g *guest) call(ctx context.Context, control *job.Control) error {
	if err := escape(g.job); err != nil {
		return err
	}
	if g.job.Graceful {
		go g.awaitStop(control)
	}
	ctx = world(ctx, g.memory, g.system)
	module, err := g.instantiate(ctx)
	if err != nil {
		return err
	}
	return g.start(ctx, module)
}

// world is the context of all calls of an instance: its memory, and what it sees.
func world(ctx context.Context, m *linmem.Allocator, s *preview1.System) context.Context {
	return preview1.WithSystem(experimental.WithMemoryAllocator(ctx, m), s)
}

// instantiate makes an instance, of which it runs a start section and nothing else: for
// the functions see start.
func (g *guest) instantiate(ctx context.Context) (api.Module, error) {
	return g.runtime.InstantiateModule(ctx, g.compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions())
}

// start runs an instance to its end.
func (g *guest) start(ctx context.Context, module api.Module) error {
	if g.initialize {
		if _, err := module.ExportedFunction(initializeExport).Call(ctx); err != nil {
			return err
		}
	}
	_, err := module.ExportedFunction(g.job.Export).Call(ctx)
	return err
}
