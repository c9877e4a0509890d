package direct

import (
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/containerd/containerd/v2/pkg/oci"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// startAuto starts a containerd whose containers are made directly where that can be.
func startAuto(t *testing.T) *testenv.Containerd {
	t.Helper()
	c := testenv.StartContainerd(t, testenv.Newest, testenv.WithEnv("WAZERO_SHIM_LAUNCHER=auto"))
	c.Import(t, witness(t))
	return c
}

// TestDefaultsAreDirect: what ctr sends by itself, and for its usual flags.
// test/integration/docker and kubernetes ask the same of their clients.
func TestDefaultsAreDirect(t *testing.T) {
	c := startAuto(t)
	image := witness(t).Name
	for id, flags := range map[string][]string{
		"plain": nil, "limits": {"--memory-limit", "268435456", "--cpus", "0.5", "--cpu-shares", "512"}, "network": {"--net-host"}, "read-only": {"--read-only"},
		"seccomp": {"--seccomp"}, "user": {"--user", "1000:1000"}, "mount": {"--mount", "type=bind,src=/tmp,dst=/data,options=rbind:ro"}, "cwd": {"--cwd", "/public", "--env", "A=b"},
		"hostname": {"--hostname", "a-name"}, "capabilities": {"--cap-add", "CAP_NET_ADMIN", "--cap-drop", "CAP_CHOWN"}, "rlimit": {"--rlimit-nofile", "100"},
	} {
		t.Run(id, func(t *testing.T) {
			args := append([]string{"run", "--rm", "--runtime", testenv.Runtime}, flags...)
			if out := c.Ctr(t, append(args, image, id, module, "read", "/etc/passwd")...); out != "read /etc/passwd: \"root:x:0:0::/:\n\"\n" {
				t.Errorf("output is %q", out)
			}
			if l := c.LaunchedFor(t, id); l.Launcher != "direct" {
				t.Errorf("made by %+v", l)
			}
		})
	}
}

// TestOtherFieldsGoToRunc has a configuration with one more field for each group.
// That each field does so is tested in pkg/launcher/direct.
func TestOtherFieldsGoToRunc(t *testing.T) {
	c := startAuto(t)
	for id, x := range map[string]struct {
		change func(*specs.Spec)
		reason string
		fails  bool // with runc on hosts without what is asked for
	}{
		"apparmor":  {func(s *specs.Spec) { s.Process.ApparmorProfile = "x" }, "process.apparmorProfile", true},
		"selinux":   {func(s *specs.Spec) { s.Process.SelinuxLabel = "a:b:c:s0" }, "process.selinuxLabel", true},
		"scheduler": {func(s *specs.Spec) { s.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedBatch} }, "process.scheduler.policy", false},
		"io-priority": {func(s *specs.Spec) {
			s.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 4}
		}, "process.ioPriority.class", false},
		"affinity": {func(s *specs.Spec) { s.Process.ExecCPUAffinity = &specs.CPUAffinity{Initial: "0"} }, "process.execCPUAffinity.initial", false},
		"device-node": {func(s *specs.Spec) {
			s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/x", Type: "c", Major: 1, Minor: 3}}
		}, "linux.devices[].path", false},
		"device-rule":    {func(s *specs.Spec) { deviceRule(s, "a") }, "linux.resources.devices: allow a", false},
		"user-namespace": {userNamespace, "linux.uidMappings[].containerID", true},
		"mount-mapping":  {mountMapping, "mounts[].uidMappings[].containerID", true},
		"mount-type":     {func(s *specs.Spec) { addMount(s, "/x", "ramfs") }, `mounts[7] /x: type "ramfs"`, false},
		"mount-option":   {func(s *specs.Spec) { addMount(s, "/x", "tmpfs", "tmpcopyup") }, `mounts[7] /x: option "tmpcopyup"`, false},
		"mount-below":    {func(s *specs.Spec) { addMount(s, "/sys/x", "tmpfs") }, "mounts[7] /sys/x: it is below /sys", true},
		"propagation":    {func(s *specs.Spec) { s.Linux.RootfsPropagation = "shared" }, "linux.rootfsPropagation shared", false},
		"hook":           {func(s *specs.Spec) { s.Hooks = &specs.Hooks{CreateContainer: []specs.Hook{{Path: "/bin/true"}}} }, "hooks.createContainer[].path", false},
		"personality":    {func(s *specs.Spec) { s.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux} }, "linux.personality.domain", false},
		"rdma":           {func(s *specs.Spec) { s.Linux.Resources.Rdma = map[string]specs.LinuxRdma{"x": {}} }, "linux.resources.rdma.x", true},
		"network-class":  {func(s *specs.Spec) { s.Linux.Resources.Network = &specs.LinuxNetwork{ClassID: pointer(uint32(5))} }, "linux.resources.network.classID", true},
		"throttle":       {throttle, "linux.resources.blockIO.throttleReadBpsDevice[].major", true},
		"intel-rdt":      {func(s *specs.Spec) { s.Linux.IntelRdt = &specs.LinuxIntelRdt{} }, "linux.intelRdt", true},
		"time-offset":    {timeOffset, "linux.timeOffsets.boottime.secs", true},
		"net-device":     {func(s *specs.Spec) { s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"gone": {}} }, "linux.netDevices.gone", true},
		"memory-policy":  {func(s *specs.Spec) { s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolLocal} }, "linux.memoryPolicy.mode", true},
		"listener":       {func(s *specs.Spec) { s.Linux.Seccomp = seccomp.DefaultProfile(s); s.Linux.Seccomp.ListenerPath = "/x" }, "linux.seccomp.listenerPath", true},
		"strict-profile": {func(s *specs.Spec) {
			s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: denied("pread64")}
		}, "linux.seccomp: ", true},
		"sysctl-of-host": {func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"vm.swappiness": "10"} }, "linux.sysctl vm.swappiness", true},
		"cgroup":         {func(s *specs.Spec) { s.Linux.CgroupsPath = "" }, "linux.cgroupsPath", true},
		"windows":        {func(s *specs.Spec) { s.Windows = &specs.Windows{LayerFolders: []string{"x"}} }, "windows.layerFolders[]", false},
	} {
		t.Run(id, func(t *testing.T) {
			if id == "apparmor" && unlessAppArmor() == "" {
				t.Skip("the host may well have what it takes")
			}
			t.Parallel()
			k, err := c.Create(t, testenv.Spec{ID: id, Image: witness(t), Args: []string{module, "read", "/etc/passwd"}, Opts: []oci.SpecOpts{edit(x.change)}})
			if l := c.LaunchedFor(t, id); l.Launcher != "runc" || !strings.HasPrefix(l.Reason, x.reason) {
				t.Errorf("made by %+v, want runc because of %q", l, x.reason)
			}
			if err != nil {
				if !x.fails {
					t.Error(err)
				}
				return
			}
			if err := k.Start(k.Context()); err != nil {
				if !x.fails {
					t.Error(err)
				}
				return
			}
			if status := k.Finish(t); status != 0 && !x.fails {
				t.Errorf("exit status %d: %s", status, k.Stderr)
			}
		})
	}
}

func deviceRule(s *specs.Spec, kind string) {
	s.Linux.Resources.Devices = append(s.Linux.Resources.Devices, specs.LinuxDeviceCgroup{Allow: true, Type: kind, Access: "rwm"})
}

func addMount(s *specs.Spec, destination, kind string, options ...string) {
	s.Mounts = append(s.Mounts, specs.Mount{Destination: destination, Type: kind, Source: kind, Options: options})
}

var mapping = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}}

func userNamespace(s *specs.Spec) {
	s.Linux.UIDMappings, s.Linux.GIDMappings = mapping, mapping
	s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
}

func mountMapping(s *specs.Spec) {
	s.Mounts = append(s.Mounts, specs.Mount{Destination: "/x", Type: "bind", Source: "/tmp", Options: []string{"bind", "idmap"}, UIDMappings: mapping, GIDMappings: mapping})
}

func throttle(s *specs.Spec) {
	d := specs.LinuxThrottleDevice{Rate: 1 << 20}
	d.Major, d.Minor = 7, 0
	s.Linux.Resources.BlockIO = &specs.LinuxBlockIO{ThrottleReadBpsDevice: []specs.LinuxThrottleDevice{d}}
}

func timeOffset(s *specs.Spec) {
	s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: 1000}}
	s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
}

func denied(name string) []specs.LinuxSyscall {
	return []specs.LinuxSyscall{{Names: []string{name}, Action: specs.ActErrno}}
}
