package direct

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/apparmor"
)

// change makes another configuration of the least one.
type change func(*specs.Spec)

// condition has changes on both sides of a condition in docs/oci-spec.md.
type condition struct {
	direct []change
	runc   map[string][]change // by the reason
}

func conditions() map[string]condition {
	all := map[string]condition{
		"process.rlimits[].type":    limitConditions(),
		"process.apparmorProfile":   appArmorProfiles(),
		"hostname":                  nameCondition(func(s *specs.Spec) *string { return &s.Hostname }),
		"domainname":                nameCondition(func(s *specs.Spec) *string { return &s.Domainname }),
		"mounts[].destination":      destinations(),
		"mounts[].type":             mountTypes(),
		"mounts[].options[]":        mountOptions(),
		"annotations.*":             annotations(),
		"linux.sysctl.*":            sysctls(),
		"linux.resources.unified.*": unified(),
		"linux.cgroupsPath":         cgroupsPaths(),
		"linux.namespaces[].type":   namespaceTypes(),
		"linux.namespaces[].path":   namespacePaths(),
		"linux.rootfsPropagation":   propagations(),
		"linux.maskedPaths[]":       hidden("maskedPaths", func(s *specs.Spec) *[]string { return &s.Linux.MaskedPaths }),
		"linux.readonlyPaths[]":     hidden("readonlyPaths", func(s *specs.Spec) *[]string { return &s.Linux.ReadonlyPaths }),
		"linux.resources.memory.kernel": number("memory.kernel", func(r *specs.LinuxResources, n int64) {
			//lint:ignore SA1019 deprecated, and still understood
			r.Memory = &specs.LinuxMemory{Kernel: &n}
		}),
		"linux.resources.memory.kernelTCP": number("memory.kernelTCP", func(r *specs.LinuxResources, n int64) {
			r.Memory = &specs.LinuxMemory{KernelTCP: &n}
		}),
		"linux.resources.cpu.realtimeRuntime": number("cpu.realtimeRuntime", func(r *specs.LinuxResources, n int64) {
			r.CPU = &specs.LinuxCPU{RealtimeRuntime: &n}
		}),
		"linux.resources.cpu.realtimePeriod": number("cpu.realtimePeriod", func(r *specs.LinuxResources, n int64) {
			period := uint64(n)
			r.CPU = &specs.LinuxCPU{RealtimePeriod: &period}
		}),
		"linux.resources.blockIO.leafWeight": number("blockIO.leafWeight", func(r *specs.LinuxResources, n int64) {
			weight := uint16(n)
			r.BlockIO = &specs.LinuxBlockIO{LeafWeight: &weight}
		}),
	}
	for _, field := range []string{"allow", "type", "major", "minor", "access"} {
		all["linux.resources.devices[]."+field] = devices()
	}
	for _, field := range []string{
		"defaultAction", "defaultErrnoRet", "architectures[]", "flags[]", "syscalls[].names[]", "syscalls[].action",
		"syscalls[].errnoRet", "syscalls[].args[].index", "syscalls[].args[].value", "syscalls[].args[].valueTwo", "syscalls[].args[].op",
	} {
		all["linux.seccomp."+field] = profiles()
	}
	return all
}

// appArmorProfiles depend on the host.
func appArmorProfiles() condition {
	profile := func(name string) change { return func(s *specs.Spec) { s.Process.ApparmorProfile = name } }
	c := condition{direct: []change{profile("")}, runc: map[string][]change{}}
	for _, name := range []string{"x", apparmor.Unconfined} {
		if why := apparmor.Lacks(name); why == "" {
			c.direct = append(c.direct, profile(name))
		} else {
			c.runc["process.apparmorProfile: "+why] = []change{profile(name)}
		}
	}
	return c
}

func TestConditions(t *testing.T) {
	t.Parallel()
	all := conditions()
	for _, field := range slices.Sorted(maps.Keys(all)) {
		t.Run(field, func(t *testing.T) {
			t.Parallel()
			for i, change := range all[field].direct {
				t.Run(fmt.Sprintf("direct-%d", i), func(t *testing.T) { requireReason(t, changed(t, change), "") })
			}
			for want, changes := range all[field].runc {
				for i, change := range changes {
					t.Run(fmt.Sprintf("runc-%s-%d", want, i), func(t *testing.T) { requireReason(t, changed(t, change), want) })
				}
			}
		})
	}
}

func changed(t *testing.T, change change) string {
	t.Helper()
	spec := leastSpec(t)
	change(spec)
	return reason(t, encode(t, spec))
}

func limit(names ...string) change {
	return func(s *specs.Spec) {
		for _, name := range names {
			s.Process.Rlimits = append(s.Process.Rlimits, specs.POSIXRlimit{Type: name, Soft: 1, Hard: 1})
		}
	}
}

func limitConditions() condition {
	c := condition{runc: map[string][]change{
		"process.rlimits: RLIMIT_FOO":    {limit("RLIMIT_FOO")},
		"process.rlimits: rlimit_core":   {limit("rlimit_core")},
		"process.rlimits: RLIMIT_NOFILE": {limit("RLIMIT_NOFILE", "RLIMIT_NOFILE")},
	}}
	for name := range limits {
		c.direct = append(c.direct, limit(name))
	}
	return c
}

// without takes away the namespaces of some types.
func without(types ...specs.LinuxNamespaceType) change {
	return func(s *specs.Spec) {
		s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(ns specs.LinuxNamespace) bool {
			return slices.Contains(types, ns.Type)
		})
	}
}

// namespace adds one.
func namespace(kind specs.LinuxNamespaceType, path string) change {
	return func(s *specs.Spec) {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: kind, Path: path})
	}
}

func both(changes ...change) change {
	return func(s *specs.Spec) {
		for _, c := range changes {
			c(s)
		}
	}
}

func nameCondition(field func(*specs.Spec) *string) condition {
	set := func(s *specs.Spec) { *field(s) = "name" }
	byPath := both(set, without(specs.UTSNamespace), namespace(specs.UTSNamespace, "/proc/self/ns/uts"))
	return condition{
		direct: []change{set, byPath},
		runc:   map[string][]change{"hostname without a UTS namespace": {both(set, without(specs.UTSNamespace))}},
	}
}

func mounts(all ...specs.Mount) change {
	return func(s *specs.Spec) { s.Mounts = append(s.Mounts, all...) }
}

func bind(destination string, options ...string) specs.Mount {
	return specs.Mount{Destination: destination, Type: "bind", Source: "/tmp", Options: options}
}

func tmpfs(destination string, options ...string) specs.Mount {
	return specs.Mount{Destination: destination, Type: "tmpfs", Source: "tmpfs", Options: options}
}

func destinations() condition {
	c := condition{runc: map[string][]change{
		"mounts: nothing is mounted at /dev": {func(s *specs.Spec) { s.Mounts = nil }},
		"mounts[0] /dev: the host's devices": {func(s *specs.Spec) { s.Mounts = []specs.Mount{bind("/dev")} }},
		"mounts[0] /dev: type":               {func(s *specs.Spec) { s.Mounts[0].Type = "devtmpfs" }},
	}}
	for _, fine := range []string{"/data", "data", "/dev/shm", "/etc/resolv.conf", "/procs", "/sysroot", "/a/../b"} {
		c.direct = append(c.direct, mounts(bind(fine)), mounts(tmpfs(fine)))
	}
	for bad, why := range map[string]string{
		"/": "it hides the root", "": "it hides the root", "/a/..": "it hides the root", "/proc": "it is below /proc", "/proc/x": "it is below /proc",
		"/sys": "it is below /sys", "/sys/fs/bpf": "it is below /sys", "/a/../proc/kcore": "it is below /proc", "proc/x": "it is below /proc",
	} {
		c.runc[fmt.Sprintf("mounts[1] %s: %s", bad, why)] = []change{mounts(bind(bad)), mounts(tmpfs(bad))}
	}
	return c
}

func mountTypes() condition {
	c := condition{
		direct: []change{
			mounts(bind("/data")), mounts(tmpfs("/data")),
			mounts(specs.Mount{Destination: "/data", Type: "none", Source: "/tmp", Options: []string{"rbind"}}),
			mounts(specs.Mount{Destination: "/data", Source: "/tmp", Options: []string{"bind"}}),
		},
		runc: map[string][]change{},
	}
	for kind, place := range standIns {
		m := specs.Mount{Destination: place, Type: kind, Source: kind, Options: []string{"nosuid", "anything"}}
		c.direct = append(c.direct, mounts(m))
		m.Destination = "/else"
		c.runc[fmt.Sprintf("mounts[1] /else: type %q", kind)] = []change{mounts(m)}
	}
	for _, kind := range []string{"overlay", "ext4", "cgroup2", "", "BIND"} {
		c.runc[fmt.Sprintf("mounts[1] /data: type %q", kind)] = []change{mounts(specs.Mount{Destination: "/data", Type: kind, Source: "/tmp"})}
	}
	return c
}

func mountOptions() condition {
	c := condition{runc: map[string][]change{}}
	for _, o := range []string{"bind", "rbind", "private", "rprivate", "slave", "rslave"} {
		c.direct = append(c.direct, mounts(bind("/data", o)))
	}
	for o := range attributes {
		c.direct = append(c.direct, mounts(bind("/data", o)), mounts(tmpfs("/data", o)))
	}
	for o := range recursive {
		c.direct = append(c.direct, mounts(bind("/data", o)))
	}
	for _, o := range tmpfsOptions {
		c.direct = append(c.direct, mounts(tmpfs("/data", o+"=1")))
	}
	wrong := func(m specs.Mount) {
		want := fmt.Sprintf("mounts[1] /data: option %q", m.Options[0])
		c.runc[want] = append(c.runc[want], mounts(m))
	}
	for _, o := range []string{
		"shared", "rshared", "unbindable", "runbindable", "idmap", "ridmap", "remount", "tmpcopyup", "rrw", "rsuid", "rrelatime", "sync", "dirsync",
		"mand", "iversion", "lazytime", "symfollow", "size", "size=", "huge=always", "noswap", "RO", "defaults",
	} {
		wrong(bind("/data", o))
		wrong(tmpfs("/data", o))
	}
	wrong(bind("/data", "size=1m"))
	for _, o := range []string{"rro", "rnoexec", "slave", "rslave"} {
		wrong(tmpfs("/data", o))
	}
	return c
}

func sysctl(name string, others ...change) change {
	return both(append(others, func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{name: "1"} })...)
}

func sysctls() condition {
	c := condition{runc: map[string][]change{}}
	for name, kind := range map[string]specs.LinuxNamespaceType{
		"kernel.msgmax": specs.IPCNamespace, "kernel.shm_rmid_forced": specs.IPCNamespace, "fs.mqueue.msg_max": specs.IPCNamespace,
		"net.ipv4.ip_forward": specs.NetworkNamespace, "kernel.domainname": specs.UTSNamespace,
	} {
		c.direct = append(c.direct, sysctl(name))
		ours := map[specs.LinuxNamespaceType]string{specs.IPCNamespace: "ipc", specs.NetworkNamespace: "net", specs.UTSNamespace: "uts"}[kind]
		c.runc["linux.sysctl "+name] = []change{
			sysctl(name, without(kind)),
			sysctl(name, without(kind), namespace(kind, "/proc/self/ns/"+ours)),
			sysctl(name, without(kind), namespace(kind, "/not/there")),
		}
	}
	for _, name := range []string{
		"vm.swappiness", "kernel.hostname", "kernel.panic", "fs.file-max", "user.max_user_namespaces", "net/ipv4/ip_forward", "net", "kernel", "",
	} {
		c.runc["linux.sysctl "+name] = []change{sysctl(name)}
	}
	return c
}

func resources(s *specs.Spec) *specs.LinuxResources {
	if s.Linux.Resources == nil {
		s.Linux.Resources = &specs.LinuxResources{}
	}
	return s.Linux.Resources
}

func number(name string, set func(*specs.LinuxResources, int64)) condition {
	to := func(n int64) change { return func(s *specs.Spec) { set(resources(s), n) } }
	return condition{direct: []change{to(0)}, runc: map[string][]change{"linux.resources." + name: {to(1)}}}
}

func unified() condition {
	file := func(name string) change {
		return func(s *specs.Spec) { resources(s).Unified = map[string]string{name: "1"} }
	}
	return condition{
		direct: []change{file("memory.high"), file("pids.max")},
		runc:   map[string][]change{"linux.resources.unified.cgroup.freeze": {file("cgroup.freeze")}},
	}
}

func device(allow bool, kind string, major, minor int64, access string) change {
	return func(s *specs.Spec) {
		d := specs.LinuxDeviceCgroup{Allow: allow, Type: kind, Access: access}
		if major >= 0 {
			d.Major = &major
		}
		if minor >= 0 {
			d.Minor = &minor
		}
		resources(s).Devices = append(resources(s).Devices, d)
	}
}

func devices() condition {
	const any = -1
	return condition{
		direct: []change{
			device(false, "", any, any, "rwm"), device(false, "c", 1, 3, "rwm"), device(true, "c", 1, 3, "rwm"), device(true, "c", 136, any, "rwm"),
			device(true, "c", any, any, "m"), device(true, "b", any, any, "m"), device(true, "b", 8, 0, "m"),
		},
		runc: map[string][]change{
			"linux.resources.devices: allow a -1:-1 rwm":  {device(true, "a", any, any, "rwm"), both(device(false, "", any, any, "rwm"), device(true, "a", any, any, "rwm"))},
			"linux.resources.devices: allow c 10:200 rwm": {device(true, "c", 10, 200, "rwm")},
			"linux.resources.devices: allow b 1:3 r":      {device(true, "b", 1, 3, "r")},
			"linux.resources.devices: allow c 1:-1 r":     {device(true, "c", 1, any, "r")},
			"linux.resources.devices: allow c 136:0 rw":   {device(true, "c", 136, 0, "rw")},
		},
	}
}

func cgroupsPaths() condition {
	to := func(path string) change { return func(s *specs.Spec) { s.Linux.CgroupsPath = path } }
	return condition{
		direct: []change{to("/a"), to("/kubepods/besteffort/pod1/c"), to("/a:b:c")},
		runc: map[string][]change{
			"linux.cgroupsPath":              {to(""), to("/"), to("/a/.."), to("a/b"), to("a:b")},
			"linux.cgroupsPath \"a.slice:b:": {to("a.slice:b:"), to("a.slice:b:c.slice")},
			"linux.cgroupsPath \":a:b\"":     {to(":a:b")},
		},
	}
}

func annotations() condition {
	with := func(name string) change {
		return func(s *specs.Spec) { s.Annotations = map[string]string{"a": "1", name: "2"} }
	}
	const property = unitProperties + "CPUWeight"
	scoped := func(s *specs.Spec) { s.Linux.CgroupsPath = "system.slice:docker:1" }
	return condition{
		direct: []change{with("org.example"), with(property)},
		runc:   map[string][]change{"annotations." + property: {both(scoped, with(property))}},
	}
}

func namespaceTypes() condition {
	return condition{
		direct: []change{
			without(specs.PIDNamespace, specs.NetworkNamespace, specs.IPCNamespace, specs.UTSNamespace),
			namespace(specs.CgroupNamespace, ""), namespace(specs.TimeNamespace, ""),
		},
		runc: map[string][]change{
			"linux.namespaces: user of its own":    {namespace(specs.UserNamespace, ""), namespace(specs.UserNamespace, "/proc/self/ns/user")},
			"linux.namespaces: later of its own":   {namespace("later", "")},
			"linux.namespaces: mount twice":        {namespace(specs.MountNamespace, "")},
			"linux.namespaces: network twice":      {namespace(specs.NetworkNamespace, "")},
			"linux.namespaces: no mount namespace": {without(specs.MountNamespace)},
		},
	}
}

func namespacePaths() condition {
	c := condition{runc: map[string][]change{
		"linux.namespaces: mount by path":  {both(without(specs.MountNamespace), namespace(specs.MountNamespace, "/proc/self/ns/mnt"))},
		"linux.namespaces: cgroup by path": {namespace(specs.CgroupNamespace, "/proc/self/ns/cgroup")},
		"linux.namespaces: time by path":   {namespace(specs.TimeNamespace, "/proc/self/ns/time")},
	}}
	for kind := range flags {
		c.direct = append(c.direct, both(without(kind), namespace(kind, "/run/ns/x")))
	}
	return c
}

func propagations() condition {
	to := func(p string) change { return func(s *specs.Spec) { s.Linux.RootfsPropagation = p } }
	c := condition{runc: map[string][]change{}}
	for _, p := range []string{"private", "rprivate", "slave", "rslave"} {
		c.direct = append(c.direct, to(p))
	}
	for _, p := range []string{"shared", "rshared", "unbindable", "runbindable", "Private"} {
		c.runc["linux.rootfsPropagation "+p] = []change{to(p)}
	}
	return c
}

func hidden(name string, field func(*specs.Spec) *[]string) condition {
	to := func(p ...string) change { return func(s *specs.Spec) { *field(s) = p } }
	return condition{
		direct: []change{to("/proc/kcore", "/sys/firmware", "/etc/x", "/x/../y")},
		runc:   map[string][]change{"linux." + name: {to("/"), to(""), to("etc/x"), to("/x", "/a/..")}},
	}
}

func profiles() condition {
	to := func(p specs.LinuxSeccomp) change { return func(s *specs.Spec) { s.Linux.Seccomp = &p } }
	deny := specs.LinuxSyscall{Names: []string{"openat"}, Action: specs.ActErrno}
	errno := uint(1)
	unusual := specs.LinuxSyscall{Names: []string{"ptrace", "mount"}, Action: specs.ActErrno, ErrnoRet: &errno}
	someArgs := specs.LinuxSyscall{Names: []string{"openat"}, Action: specs.ActErrno, Args: []specs.LinuxSeccompArg{{Index: 2, Value: 0, Op: specs.OpEqualTo}}}
	return condition{
		direct: []change{
			to(specs.LinuxSeccomp{DefaultAction: specs.ActAllow}),
			to(specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{unusual}, Architectures: []specs.Arch{specs.ArchX86_64, specs.ArchAARCH64}}),
		},
		runc: map[string][]change{"linux.seccomp: ": {
			to(specs.LinuxSeccomp{DefaultAction: specs.ActErrno}),
			to(specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{deny}}),
			to(specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{someArgs}}),
		}},
	}
}
