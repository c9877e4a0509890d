package runner

import (
	"fmt"
	"os"
	"runtime"
)

const (
	// mostWorkers compile at once: more bring little.
	mostWorkers = 4
	// memoryPerWorker is the memory limit in bytes that allows another worker.
	memoryPerWorker = 128 << 20
)

func warnInterpreter() {
	fmt.Fprintf(os.Stderr, "wazero: no code can be generated here (architecture %s, or a policy against executable memory): the interpreter runs this program, about 50 times slower\n", runtime.GOARCH)
}

// workers is the number of threads that compile. It uses all CPUs that the
// container has (a Go program has GOMAXPROCS from the cgroup's quota), unless
// memory is short: each worker needs its own.
func workers(memoryLimit int64) int {
	n := min(runtime.GOMAXPROCS(0), mostWorkers)
	if memoryLimit > 0 {
		n = min(n, int(memoryLimit/memoryPerWorker)+1)
	}
	return n
}
