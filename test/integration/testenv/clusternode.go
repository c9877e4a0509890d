package testenv

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/isolated"
)

// tasks lists what containerd says to be running.
func (k *Cluster) tasks() ([]string, error) {
	out, err := k.Ctr("tasks", "list", "--quiet").Output()
	var lines []string
	for id := range strings.Lines(string(out)) {
		lines = append(lines, "task "+strings.TrimSpace(id))
	}
	return lines, err
}

// shims lists processes of shims, and what they have started.
func (k *Cluster) shims() ([]string, error) {
	all, err := processes()
	var lines []string
	for _, p := range all {
		fields := strings.Fields(p) // "process", its pid, its command line
		if len(fields) < 3 {
			continue
		}
		if name := filepath.Base(fields[2]); strings.HasPrefix(name, "containerd-shim-") || strings.HasPrefix(name, "wazero-") {
			lines = append(lines, p)
		}
	}
	return lines, err
}

// links lists the node's ends of pods' network links.
func links() ([]string, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, l := range all {
		if strings.HasPrefix(l.Name, "veth") {
			lines = append(lines, "link "+l.Name)
		}
	}
	return lines, nil
}

// podMounts lists mounted volumes.
func podMounts() ([]string, error) {
	all, err := mounts()
	var lines []string
	for _, m := range all {
		if strings.HasPrefix(m, "mount /var/lib/kubelet/pods/") {
			lines = append(lines, m)
		}
	}
	return lines, err
}

// podCgroups lists the groups of pods, below those that the kubelet keeps.
func (k *Cluster) podCgroups() ([]string, error) {
	var lines []string
	for _, dir := range isolated.Cgroups(k.podsCgroup()) {
		found, err := entries("cgroup", dir, func(path string, d fs.DirEntry) bool {
			below := strings.TrimPrefix(path, dir)
			return !d.IsDir() || !strings.Contains(below, "/pod") && !strings.Contains(below, "-pod")
		})
		if err != nil {
			return nil, err
		}
		lines = append(lines, found...)
	}
	return lines, nil
}

// podNamespaces lists pods' network namespaces.
func podNamespaces() ([]string, error) {
	found, err := os.ReadDir("/run/netns")
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	var lines []string
	for _, e := range found {
		lines = append(lines, "network namespace "+e.Name())
	}
	return lines, nil
}

// Pid of a container's first process, in the tests' pid namespace.
func (k *Cluster) Pid(c ContainerStatus) (int, error) {
	out, err := k.Ctr("tasks", "list").Output()
	if err != nil {
		return 0, fmt.Errorf("list tasks: %w", err)
	}
	id := strings.TrimPrefix(c.ContainerID, "containerd://")
	for line := range strings.Lines(string(out)) {
		if fields := strings.Fields(line); len(fields) >= 2 && fields[0] == id {
			return strconv.Atoi(fields[1])
		}
	}
	return 0, fmt.Errorf("there is no task of container %s %q:\n%s", c.Name, id, out)
}

// CgroupFile reads a file of a container's cgroup. The controller counts in v1
// only.
func (k *Cluster) CgroupFile(pod *Pod, container, controller, file string) (string, error) {
	pid, err := k.Pid(pod.Container(container))
	if err != nil {
		return "", err
	}
	groups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return "", err
	}
	var unified string
	for line := range strings.Lines(string(groups)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		if slices.Contains(strings.Split(parts[1], ","), controller) {
			data, err := os.ReadFile(filepath.Join("/sys/fs/cgroup", controller, parts[2], file))
			return string(data), err
		}
		if parts[1] == "" {
			unified = parts[2]
		}
	}
	data, err := os.ReadFile(filepath.Join("/sys/fs/cgroup", unified, file))
	return string(data), err
}
