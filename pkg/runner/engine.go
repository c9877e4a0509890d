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

// useCPUs ends the time with one thread (job.OneThread). bound is that of job.Job.CPUs; a
// program with two threads is still better off with one CPU, as the Go runtime sees it.
func useCPUs(bound int) {
	n := runtime.NumCPU()
	if bound > 0 {
		n = min(n, max(2, bound))
	}
	runtime.GOMAXPROCS(n)
}

// workers is the number of threads that compile. It uses all CPUs that the
// container has, unless memory is short: each worker needs its own.
func workers(memoryLimit int64) int {
	n := min(runtime.GOMAXPROCS(0), mostWorkers)
	if memoryLimit > 0 {
		n = min(n, int(memoryLimit/memoryPerWorker)+1)
	}
	return n
}
