package bed

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Machine is where and with what it was measured.
type Machine struct {
	Date     string
	CPU      string
	CPUs     int
	MemoryGB float64
	Kernel   string
	Cgroups  string // "v1", "v2" or "v1 and v2"
	// LoadBefore is the load average when the run began: what else was going on.
	LoadBefore float64
	Containerd string
	Runc       string
	Go         string
	Shim       string // what our shim says about itself
}

// This is the machine, with what the directories have.
func This(bin Binaries) Machine {
	m := Machine{
		Date: time.Now().UTC().Format(time.DateOnly), CPU: field("/proc/cpuinfo", "model name"), CPUs: runtime.NumCPU(),
		Kernel: read("/proc/sys/kernel/osrelease"), Cgroups: cgroupVersions(),
		Containerd: ContainerdVersion, Runc: RuncVersion, Go: runtime.Version(),
	}
	if kib, err := strconv.ParseFloat(strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB"), 64); err == nil {
		m.MemoryGB = kib * 1024 / 1e9
	}
	if load, _, ok := strings.Cut(read("/proc/loadavg"), " "); ok {
		m.LoadBefore, _ = strconv.ParseFloat(load, 64)
	}
	out, err := exec.Command(filepath.Join(bin.Shim, "containerd-shim-wazero-v1"), "-v").Output()
	if err != nil {
		m.Shim = fmt.Sprintf("unknown (%v)", err)
	}
	for line := range strings.Lines(string(out)) {
		if name, value, ok := strings.Cut(line, ":"); ok && (strings.Contains(name, "Revision") || strings.Contains(name, "wazero") || strings.Contains(name, "Version")) {
			if value = strings.TrimSpace(value); value != "" {
				m.Shim = strings.TrimSpace(m.Shim + " " + strings.ToLower(strings.TrimSpace(name)) + " " + value)
			}
		}
	}
	return m
}

func cgroupVersions() string {
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		return "v2"
	}
	if _, err := os.Stat("/sys/fs/cgroup/unified/cgroup.controllers"); err == nil {
		return "v1, with v2 beside"
	}
	return "v1"
}

// field is the value behind a name and a colon, on the first such line.
func field(path, name string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		key, value, ok := strings.Cut(lines.Text(), ":")
		if ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func read(path string) string {
	data, _ := os.ReadFile(path)
	return strings.TrimSpace(string(data))
}
