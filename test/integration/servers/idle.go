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

// Shim is the process that has started another, which has to be a shim.
func Shim(pid string) (string, error) {
	status, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return "", err
	}
	_, rest, _ := strings.Cut(string(status), "\nPPid:")
	parent, _, _ := strings.Cut(rest, "\n")
	parent = strings.TrimSpace(parent)
	line, err := os.ReadFile("/proc/" + parent + "/cmdline")
	program, _, _ := strings.Cut(string(line), "\x00")
	if err == nil && !strings.HasPrefix(filepath.Base(program), "containerd-shim") {
		err = fmt.Errorf("the parent of process %s is %q", pid, program)
	}
	return parent, err
}

// CPUTime is what a process's threads have used. The error is that there are none, or
// that they have used nothing at all, which would mean that the kernel does not count.
func CPUTime(pid string) (total time.Duration, err error) {
	threads, err := filepath.Glob("/proc/" + pid + "/task/*/schedstat")
	if err != nil {
		return 0, err
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
	if total == 0 {
		return 0, fmt.Errorf("process %s has never used the CPU with its %d threads", pid, len(threads))
	}
	return total, nil
}
