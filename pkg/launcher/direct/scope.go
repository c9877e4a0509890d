package direct

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/cgroupfs"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/container"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/scope"
)

// unitProperties are annotations by which runc lets containers configure their unit.
const unitProperties = "org.systemd.property."

// checkScope is checkCgroup where systemd makes the cgroup.
func checkScope(spec *specs.Spec) string {
	if why := checkUnit(spec); why != "" {
		return why
	}
	return systemdLacks()
}

func checkUnit(spec *specs.Spec) string {
	for _, name := range slices.Sorted(maps.Keys(spec.Annotations)) {
		if strings.HasPrefix(name, unitProperties) {
			return "annotations." + name
		}
	}
	if _, err := scope.Parse(spec.Linux.CgroupsPath); err != nil {
		return fmt.Sprintf("linux.cgroupsPath %q for systemd: %v", spec.Linux.CgroupsPath, err)
	}
	return ""
}

// systemdLacks is asked last: the first time, so is systemd.
func systemdLacks() string {
	const path = "linux.cgroupsPath in the form of systemd: "
	if !cgroupfs.V2() {
		return path + "the host has cgroup v1"
	}
	version, err := scope.Version(context.Background())
	switch {
	case err != nil:
		return path + err.Error()
	case version < container.LeastSystemd:
		return fmt.Sprintf("%ssystemd %d is older than %d", path, version, container.LeastSystemd)
	}
	return ""
}
