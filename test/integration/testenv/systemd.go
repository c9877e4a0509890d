package testenv

import (
	"fmt"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/isolated"
)

// systemdOptions is the part of containerd's configuration that makes systemd
// responsible for cgroups, if it is there. The kubelet asks containerd.
func systemdOptions() string {
	if !isolated.UnderSystemd() {
		return ""
	}
	var tables string
	for _, runtime := range []string{"runc", RuntimeClass, SandboxedClass} {
		tables += fmt.Sprintf("[plugins.\"io.containerd.cri.v1.runtime\".containerd.runtimes.%s.options]\n  SystemdCgroup = true\n", runtime)
	}
	return tables
}

// cgroupRoot is the cgroup below which the kubelet makes those of pods; there is
// one for each cluster.
func (k *Cluster) cgroupRoot() string {
	if isolated.UnderSystemd() {
		return "" // a slice would have to be there
	}
	return k.Containerd.Namespace
}

// podsCgroup is the cgroup above those of pods that only the kubelet changes.
func (k *Cluster) podsCgroup() string {
	if isolated.UnderSystemd() {
		return "kubepods.slice"
	}
	return k.Containerd.Namespace
}
