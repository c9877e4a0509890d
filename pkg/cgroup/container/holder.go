package container

import (
	"fmt"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/cgroupfs"
)

// Hold makes a process that only waits, as the holder of a pod's namespaces does, a
// member of the cgroup path of every hierarchy, with the fewest shares of the CPU. The
// cgroups are made where they are not there: systemd, which may have made some, does
// not care for all controllers of v1. If it fails, there is something to be removed.
func Hold(path string, pid int) error {
	l, err := cgroupfs.Host()
	if err != nil {
		return err
	}
	c := &Cgroup{layout: l, path: path}
	m := &made{}
	for _, h := range l.Hierarchies {
		if err := m.mkdir(h.Root + path); err != nil && !h.Optional {
			return fmt.Errorf("make the cgroup %s: %w", path, err)
		}
	}
	cpu, cpuset := l.Dir("cpu", path), l.Dir("cpuset", path)
	if l.V2 {
		_ = cgroupfs.Write(cpu, "cpu.weight", "1") // if the pod's cgroup has the controller
		return c.Add(pid)
	}
	if cpuset != "" {
		if err := c.prepareCpuset(cpuset, m.has(cpuset)); err != nil {
			return fmt.Errorf("make the cgroup %s: %w", path, err)
		}
	}
	if cpu != "" {
		if err := cgroupfs.Write(cpu, "cpu.shares", "2"); err != nil {
			return fmt.Errorf("limit the cgroup %s: %w", path, err)
		}
	}
	return c.Add(pid)
}
