package direct

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/containerd/v2/contrib/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// limited sets resources.
func limited(r specs.LinuxResources) func(*testing.T, *place, *specs.Spec) {
	return func(_ *testing.T, _ *place, s *specs.Spec) {
		if s.Linux.Resources != nil {
			r.Devices = append(s.Linux.Resources.Devices, r.Devices...)
		}
		s.Linux.Resources = &r
	}
}

// on are values by the names that files have with cgroup v1 or v2.
func on(v1, v2 view) view {
	if hasV2() {
		return v2
	}
	return v1
}

func hasV2() bool {
	_, err := os.Stat("/sys/fs/cgroup/cgroup.controllers")
	return err == nil
}

// unless is what comparison.missing has to be: the hierarchy that has none of
// the files.
func unless(patterns ...string) string {
	for _, p := range patterns {
		if found, _ := filepath.Glob("/sys/fs/cgroup/" + p); len(found) > 0 {
			return ""
		}
	}
	return "/sys/fs/cgroup/" + patterns[0]
}

const resource = "linux.resources."

func resources() []comparison {
	return []comparison{
		{
			name: "memory",
			fields: []string{
				resource + "memory.limit", resource + "memory.reservation", resource + "memory.swap", resource + "memory.checkBeforeUpdate", resource + "memory.useHierarchy",
				resource + "memory.kernel", resource + "memory.kernelTCP",
			},
			spec: limited(specs.LinuxResources{Memory: &specs.LinuxMemory{
				Limit: pointer(int64(256 << 20)), Reservation: pointer(int64(128 << 20)), Swap: pointer(int64(512 << 20)), CheckBeforeUpdate: pointer(true),
				Kernel: pointer(int64(0)), KernelTCP: pointer(int64(0)), UseHierarchy: pointer(false), //lint:ignore SA1019 deprecated, and still understood
			}}),
			want: on(view{"limit memory.limit_in_bytes": "268435456", "limit memory.soft_limit_in_bytes": "134217728"}, view{"limit memory.max": "268435456", "limit memory.low": "134217728"}),
		},
		{
			name: "CPU",
			fields: []string{
				resource + "cpu.shares", resource + "cpu.quota", resource + "cpu.period", resource + "cpu.cpus", resource + "cpu.mems", resource + "cpu.realtimeRuntime", resource + "cpu.realtimePeriod",
			},
			spec: limited(specs.LinuxResources{CPU: &specs.LinuxCPU{
				Shares: pointer(uint64(512)), Quota: pointer(int64(30000)), Period: pointer(uint64(60000)), Cpus: "0", Mems: "0", RealtimeRuntime: pointer(int64(0)), RealtimePeriod: pointer(uint64(0)),
			}}),
			want: merge(on(view{"limit cpu.shares": "512", "limit cpu.cfs_quota_us": "30000", "limit cpu.cfs_period_us": "60000"}, view{"limit cpu.max": "30000 60000"}), view{"limit cpuset.cpus": "0"}),
		},
		{
			name:   "idle CPU",
			fields: []string{resource + "cpu.idle"},
			spec:   limited(specs.LinuxResources{CPU: &specs.LinuxCPU{Idle: pointer(int64(1))}}),
			want:   view{"limit cpu.idle": "1"},
		},
		{
			name:   "bursts of CPU",
			fields: []string{resource + "cpu.burst"},
			spec: limited(specs.LinuxResources{CPU: &specs.LinuxCPU{
				Quota: pointer(int64(50000)), Period: pointer(uint64(100000)), Burst: pointer(uint64(20000)),
			}}),
			want: on(view{"limit cpu.cfs_burst_us": "20000"}, view{"limit cpu.max.burst": "20000"}),
		},
		{
			name:   "processes",
			fields: []string{resource + "pids.limit"},
			spec:   limited(specs.LinuxResources{Pids: &specs.LinuxPids{Limit: pointer(int64(77))}}),
			want:   view{"limit pids.max": "77"},
		},
		{
			name: "devices",
			fields: []string{
				resource + "devices[].allow", resource + "devices[].type", resource + "devices[].major", resource + "devices[].minor", resource + "devices[].access",
			},
			spec: limited(specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{
				{Allow: false, Access: "rwm"}, {Allow: true, Type: "c", Access: "m"}, {Allow: true, Type: "c", Major: pointer(int64(1)), Minor: pointer(int64(3)), Access: "rwm"},
			}}),
			does: []string{"read", "/dev/null", "write", "/dev/null"},
		},
		{
			name:   "device in the image",
			does:   []string{"read", "/null", "write", "/null"},
			differ: map[string]string{"stdout": "no device node works but those in /dev"},
			want:   view{"stdout": "read /null: Permission denied\nwrite /null: Permission denied\nwaiting"},
		},
		{
			name:   "path of the cgroup",
			fields: []string{"linux.cgroupsPath"},
			spec: func(_ *testing.T, p *place, s *specs.Spec) {
				s.Linux.CgroupsPath = "/" + p.c.Namespace + "/deep/" + p.id
			},
			ask: func(t *testing.T, p *place, k *testenv.Task, _ view) {
				t.Cleanup(func() { removeParents(t, "/"+p.c.Namespace+"/deep") })
			},
		},
		{
			name: "seccomp profile",
			fields: []string{
				"linux.seccomp.defaultAction", "linux.seccomp.defaultErrnoRet", "linux.seccomp.architectures[]", "linux.seccomp.flags[]", "linux.seccomp.syscalls[].names[]",
				"linux.seccomp.syscalls[].action", "linux.seccomp.syscalls[].errnoRet", "linux.seccomp.syscalls[].args[].index", "linux.seccomp.syscalls[].args[].value",
				"linux.seccomp.syscalls[].args[].valueTwo", "linux.seccomp.syscalls[].args[].op",
			},
			spec: func(_ *testing.T, _ *place, s *specs.Spec) { s.Linux.Seccomp = seccomp.DefaultProfile(s) },
			does: []string{"arguments", "environment", "walk", "/", "write", "/public/new", "directory", "/new", "read", "/etc/link"},
			want: view{"mode of seccomp": "2"},
			ask: func(t *testing.T, _ *place, k *testenv.Task, v view) {
				v["mode of seccomp"] = statusOf(t, int(k.Pid()))["Seccomp"]
			},
		},
		{
			name:    "swappiness and OOM killer",
			fields:  []string{resource + "memory.swappiness", resource + "memory.disableOOMKiller"},
			missing: unless("memory/memory.swappiness"),
			spec:    limited(specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: pointer(int64(256 << 20)), Swappiness: pointer(uint64(10)), DisableOOMKiller: pointer(true)}}),
			want:    view{"limit memory.swappiness": "10", "limit memory.oom_control": "oom_kill_disable 1"},
		},
		{
			name:    "block IO",
			fields:  []string{resource + "blockIO.weight", resource + "blockIO.leafWeight"},
			missing: unless("blkio/blkio*.weight", "*/io*.weight"),
			spec:    limited(specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{Weight: pointer(uint16(333)), LeafWeight: pointer(uint16(0))}}),
		},
		{
			name:    "huge pages",
			fields:  []string{resource + "hugepageLimits[].pageSize", resource + "hugepageLimits[].limit"},
			missing: unless("hugetlb/hugetlb.2MB.limit_in_bytes", "*/hugetlb.2MB.max"),
			spec:    limited(specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 4 << 20}}}),
			want:    on(view{"limit hugetlb.2MB.limit_in_bytes": "4194304"}, view{"limit hugetlb.2MB.max": "4194304"}),
		},
		{
			name:    "files of the cgroup",
			fields:  []string{resource + "unified.*"},
			missing: unless("cgroup.controllers"),
			spec:    limited(specs.LinuxResources{Unified: map[string]string{"memory.high": "134217728", "pids.max": "55"}}),
			want:    view{"limit memory.high": "134217728", "limit pids.max": "55"},
		},
	}
}
