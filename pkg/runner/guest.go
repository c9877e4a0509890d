package runner

import (
	"context"
	"fmt"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/runner/linmem"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/runner/wasmbin"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi"
)

// guest is a module that is ready to run.
type guest struct {
	job      *job.Job
	runtime  wazero.Runtime
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
	defer func() { _ = unix.Munmap(data) }()

	setCompileLimits(j.MemoryLimit)
	g.runtime = newRuntime(ctx)
	outline, err := g.check(ctx, data)
	if err != nil {
		return nil, err
	}
	if g.compiled, err = compile(ctx, g.runtime, data, j.MemoryLimit); err != nil {
		return nil, explainCompileError(j.Module, err, outline)
	}
	g.memory, err = budgetMemory(j.MemoryLimit, outline)
	return g, err
}

// check refuses what cannot run before time is spent on compiling it.
func (g *guest) check(ctx context.Context, data []byte) (*wasmbin.Module, error) {
	outline, err := wasmbin.Parse(data)
	if err != nil {
		return nil, explainParseError(g.job.Module, err)
	}
	host, err := wasi.Instantiate(ctx, g.runtime)
	if err != nil {
		return nil, err
	}
	if err := checkImports(outline, host); err != nil {
		return nil, fmt.Errorf("module %q %w", g.job.Module, err)
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
