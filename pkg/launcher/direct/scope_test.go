package direct

import (
	"testing"

	"github.com/containerd/cgroups/v3"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/scope"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/network"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/options"
)

// Whether systemd is there to be asked depends on the host.
func TestScopesAreDirectWithSystemdOnCgroupV2(t *testing.T) {
	t.Parallel()
	want := ""
	if cgroups.Mode() != cgroups.Unified {
		want = "linux.cgroupsPath in the form of systemd: the host has cgroup v1"
	} else if _, err := scope.Version(t.Context()); err != nil {
		want = "linux.cgroupsPath in the form of systemd: ask systemd for its version"
	}
	t.Logf("here the reason for runc is %q", want)
	for _, path := range []string{"system.slice:docker:0123", "kubepods-burstable-pod1_2.slice:cri-containerd:0123"} {
		spec := leastSpec(t)
		spec.Linux.CgroupsPath = path
		requireReason(t, checkUnit(spec), "")
		for _, o := range []options.Options{{}, {SystemdCgroup: true}} {
			config, err := read(t, encode(t, spec))
			check(t, err)
			requireReason(t, outside(config, o, &job.Job{Network: network.Full}), want)
		}
	}
}

// With the option, a path of the other form is an error of runc's.
func TestOptionAsksForSystemdsForm(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"", "/a", "a"} {
		spec := leastSpec(t)
		spec.Linux.CgroupsPath = path
		config, err := read(t, encode(t, spec))
		check(t, err)
		requireReason(t, outside(config, options.Options{SystemdCgroup: true}, &job.Job{Network: network.Full}), `linux.cgroupsPath "`+path+`" for systemd`)
	}
}
