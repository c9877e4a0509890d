package compile

import (
	"fmt"
	"math"
	"os"
	"runtime"
)

// idleWorkers compile at the same time on a node with CPUs to spare. More bring
// little: wazero does much with one thread.
const idleWorkers = 2

// workers is how many threads a compiler gets now.
func workers() int {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 1
	}
	return workersFor(string(data), runtime.NumCPU())
}

// workersFor takes the contents of /proc/loadavg, proc(5).
func workersFor(loadavg string, cpus int) int {
	var load [3]float64
	var running int
	if _, err := fmt.Sscanf(loadavg, "%f %f %f %d/", &load[0], &load[1], &load[2], &running); err != nil {
		return 1
	}
	// Neither a short burst, like the start of a container, nor a load that has
	// gone makes a node busy. This process does not count.
	busy := int(math.Round(min(float64(running-1), load[0])))
	if busy+idleWorkers <= cpus {
		return idleWorkers
	}
	return 1
}
