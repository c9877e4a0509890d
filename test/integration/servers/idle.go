package servers

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Period is how long servers are watched that have nothing to do, and MostIdle what
// each may use of a CPU then: half a percent.
const (
	Period   = 10 * time.Second
	MostIdle = Period / 200
)

// CPUTime is what a container's first process and its parent, the shim, have used. The
// error is that one of them has no threads, or that they have used nothing at all, which
// would mean that the kernel does not count.
func CPUTime(pid string) (time.Duration, error) {
	status, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(status), "\nPPid:")
	shim, _, _ := strings.Cut(rest, "\n")
	shim = strings.TrimSpace(shim)
	if line, err := os.ReadFile("/proc/" + shim + "/cmdline"); err != nil || !strings.Contains(string(line), "containerd-shim") {
		return 0, fmt.Errorf("the parent of process %s is %q, no shim (%v)", pid, line, err)
	}
	var total time.Duration
	for _, pid := range []string{pid, shim} {
		used, err := threadTime(pid)
		if err == nil && used == 0 {
			err = fmt.Errorf("process %s has never used the CPU", pid)
		}
		if err != nil {
			return 0, err
		}
		total += used
	}
	return total, nil
}

// threadTime is what a process's threads have used.
func threadTime(pid string) (total time.Duration, err error) {
	threads, err := filepath.Glob("/proc/" + pid + "/task/*/schedstat")
	if err != nil {
		return 0, err
	}
	if len(threads) == 0 {
		return 0, fmt.Errorf("process %s has no threads", pid)
	}
	for _, thread := range threads {
		data, err := os.ReadFile(thread)
		if err != nil {
			continue // it has ended
		}
		var ns int64
		if _, err := fmt.Sscan(string(data), &ns); err != nil {
			return 0, fmt.Errorf("%s: %w", thread, err)
		}
		total += time.Duration(ns)
	}
	return total, nil
}
