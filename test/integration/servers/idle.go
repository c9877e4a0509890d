package servers

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// period is how long servers are watched that have nothing to do, and mostIdle what
// each may use of a CPU then: half a percent.
const (
	period   = 10 * time.Second
	mostIdle = period / 200
)

// tries is how often they are watched, until all are idle once: on a busy machine the
// same work takes more of a CPU, and what a server has been asked before lasts longer.
const tries = 3

// Idle watches servers, which have these processes, for ten seconds: each must use less
// than half a percent of a CPU.
func Idle(t *testing.T, processes map[string][]string) {
	t.Helper()
	for try := 1; ; try++ {
		busy := watch(t, processes)
		if len(busy) == 0 {
			return
		}
		if try == tries {
			for _, text := range busy {
				t.Error(text)
			}
			return
		}
	}
}

// watch tells of the servers that are not idle.
func watch(t *testing.T, processes map[string][]string) (busy []string) {
	t.Helper()
	before, err := usedBy(processes)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(period)
	after, err := usedBy(processes)
	if err != nil {
		t.Fatal(err)
	}
	for name := range processes {
		used := after[name] - before[name]
		text := fmt.Sprintf("%s used %v in %v", name, used, period)
		t.Log(text)
		if used > mostIdle {
			busy = append(busy, text)
		}
	}
	return busy
}

func usedBy(processes map[string][]string) (map[string]time.Duration, error) {
	used := make(map[string]time.Duration)
	for name, pids := range processes {
		for _, pid := range pids {
			cpu, err := CPUTime(pid)
			if err != nil {
				return nil, err
			}
			used[name] += cpu
		}
	}
	return used, nil
}

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
