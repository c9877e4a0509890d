package runner

import (
	"context"
	"fmt"
	"os"
	"runtime"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// features are the proposals that guests may use. Left out are exceptions, whose
// compiled code corrupts locals in wazero 1.12.0 (its issue 2503).
const features = api.CoreFeaturesV2 |
	experimental.CoreFeaturesThreads |
	experimental.CoreFeaturesTailCall |
	experimental.CoreFeaturesExtendedConst |
	experimental.CoreFeaturesTypedFunctionReferences

const (
	// mostWorkers compile at once: more bring little.
	mostWorkers = 4
	// memoryPerWorker is the memory limit in bytes that allows another worker.
	memoryPerWorker = 128 << 20
)

// newRuntime returns wazero with its compiler, or its interpreter where the CPU
// or a security policy does not allow code to be generated.
//
// A guest cannot be interrupted in this process (no WithCloseOnContextDone): that
// makes loops up to 14 times slower, and the shim ends the process instead.
func newRuntime(ctx context.Context) wazero.Runtime {
	config := wazero.NewRuntimeConfigInterpreter()
	if compilerWorks() {
		config = wazero.NewRuntimeConfigCompiler()
	} else {
		fmt.Fprintf(os.Stderr, "wazero: no code can be generated here (architecture %s, or a policy against executable memory): the interpreter runs this program, about 50 times slower\n", runtime.GOARCH)
	}
	// Debug information would only serve line numbers in traps, but is slow to
	// read.
	return wazero.NewRuntimeWithConfig(ctx, config.WithCoreFeatures(features).WithDebugInfoEnabled(false))
}

// compile uses all CPUs that the container has (a Go program has GOMAXPROCS from
// the cgroup's quota), unless memory is short: each worker needs its own.
func compile(ctx context.Context, r wazero.Runtime, data []byte, memoryLimit int64) (wazero.CompiledModule, error) {
	workers := min(runtime.GOMAXPROCS(0), mostWorkers)
	if memoryLimit > 0 {
		workers = min(workers, int(memoryLimit/memoryPerWorker)+1)
	}
	return r.CompileModule(experimental.WithCompilationWorkers(ctx, workers), data)
}
