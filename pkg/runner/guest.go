package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/engine"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/engine/wasmbin"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/runner/linmem"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi"
)

// guest is a module that is ready to run.
type guest struct {
	job      *job.Job
	runtime  *engine.Runtime
	compiled wazero.CompiledModule
	config   wazero.ModuleConfig
	memory   *linmem.Allocator
	// initialize tells that the module is a reactor, whose _initialize has to
	// run before any other export.
	initialize bool
}

// loadGuest compiles the module and checks that it can run, without running any
// of its code. The start section, which is code, runs with instantiation.
func loadGuest(ctx context.Context, j *job.Job) (*guest, error) {
	g := &guest{job: j}
	var err error
	if g.config, err = wasi.Config(j.Args, j.Env, j.Preopens); err != nil {
		return nil, err
	}
	data, err := readModule(j.Module)
	if err != nil {
		return nil, err
	}
	// wazero keeps copies of what it needs.
	defer engine.Free(data)

	setCompileLimits(j.MemoryLimit)
	newRuntime := engine.NewCompiler
	if !engine.CompilerWorks() {
		warnInterpreter()
		newRuntime = engine.NewInterpreter
	}
	if g.runtime, err = newRuntime(ctx); err != nil {
		return nil, err
	}
	outline, err := g.check(data)
	if err != nil {
		return nil, err
	}
	if g.compiled, err = g.runtime.CompileHere(ctx, data, j.Module, outline, workers(j.MemoryLimit)); err != nil {
		return nil, err
	}
	g.memory, err = budgetMemory(j.MemoryLimit, outline)
	return g, err
}

// readModule reads the module and closes its descriptor.
func readModule(name string) ([]byte, error) {
	file := os.NewFile(job.FDModule, name)
	if file == nil {
		return nil, errors.New("the shim passed no module")
	}
	defer file.Close()
	return engine.ReadFile(file, name)
}

// check refuses what cannot run before time is spent on compiling it.
func (g *guest) check(data []byte) (*wasmbin.Module, error) {
	outline, err := engine.ParseOutline(data, g.job.Module)
	if err != nil {
		return nil, err
	}
	if err := g.runtime.CheckImports(outline, g.job.Module); err != nil {
		return nil, err
	}
	if err := checkExport(outline, g.job.Export); err != nil {
		return nil, fmt.Errorf("module %q %w", g.job.Module, err)
	}
	g.initialize = g.job.Export != startExport && callable(outline, initializeExport)
	return outline, nil
}

// call runs the guest to its end.
func (g *guest) call(ctx context.Context) error {
	ctx = experimental.WithMemoryAllocator(ctx, g.memory)
	// Go ends a process that writes to a closed stdout with SIGPIPE. WASI has no
	// signals: the guest gets an error, as a native program does that is pid 1.
	signal.Ignore(syscall.SIGPIPE)
	module, err := g.runtime.InstantiateModule(ctx, g.compiled, g.config)
	if err != nil {
		return err
	}
	if g.initialize {
		if _, err := module.ExportedFunction(initializeExport).Call(ctx); err != nil {
			return err
		}
	}
	_, err = module.ExportedFunction(g.job.Export).Call(ctx)
	return err
}
