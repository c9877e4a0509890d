package direct

import (
	"path"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/oci"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/room"
)

// limits are the resource limits that Linux has (setrlimit(2)).
var limits = map[string]int{
	"RLIMIT_AS": unix.RLIMIT_AS, "RLIMIT_CORE": unix.RLIMIT_CORE, "RLIMIT_CPU": unix.RLIMIT_CPU,
	"RLIMIT_DATA": unix.RLIMIT_DATA, "RLIMIT_FSIZE": unix.RLIMIT_FSIZE, "RLIMIT_LOCKS": unix.RLIMIT_LOCKS,
	"RLIMIT_MEMLOCK": unix.RLIMIT_MEMLOCK, "RLIMIT_MSGQUEUE": unix.RLIMIT_MSGQUEUE, "RLIMIT_NICE": unix.RLIMIT_NICE,
	"RLIMIT_NOFILE": unix.RLIMIT_NOFILE, "RLIMIT_NPROC": unix.RLIMIT_NPROC, "RLIMIT_RSS": unix.RLIMIT_RSS,
	"RLIMIT_RTPRIO": unix.RLIMIT_RTPRIO, "RLIMIT_RTTIME": unix.RLIMIT_RTTIME,
	"RLIMIT_SIGPENDING": unix.RLIMIT_SIGPENDING, "RLIMIT_STACK": unix.RLIMIT_STACK,
}

// roomOf translates a configuration of which nothing is outside.
func roomOf(config *oci.Config) *room.Room {
	spec := config.Spec
	r := processRoom(spec.Process)
	r.Root, r.ReadOnly = config.Path(spec.Root.Path), spec.Root.Readonly
	r.Mounts, r.Devices = roomMounts(spec, config.Path), true
	r.Masked, r.ReadOnlyPaths = visible(spec.Linux.MaskedPaths), visible(spec.Linux.ReadonlyPaths)
	r.Hooks = len((&hooks{spec: spec}).creating()) > 0
	r.Hostname, r.Domainname = spec.Hostname, spec.Domainname
	network := namespaceOf(spec, specs.NetworkNamespace)
	r.Loopback = network != nil && network.Path == ""
	r.Sysctls = make(map[string]string, len(spec.Linux.Sysctl))
	for name, value := range spec.Linux.Sysctl {
		r.Sysctls[strings.ReplaceAll(name, ".", "/")] = value
	}
	return r
}

// processRoom is the part of a room that an exec has, too.
func processRoom(p *specs.Process) *room.Room {
	r := &room.Room{
		OOMScore: p.OOMScoreAdj, Terminal: p.Terminal, Cwd: path.Join("/", p.Cwd),
		AppArmor: p.ApparmorProfile,
		User:     room.User{UID: p.User.UID, GID: p.User.GID, Groups: p.User.AdditionalGids, Umask: umask(p)},
	}
	for _, l := range p.Rlimits {
		r.Limits = append(r.Limits, room.Limit{Resource: limits[l.Type], Name: l.Type, Soft: l.Soft, Hard: l.Hard})
	}
	return r
}

// umask of a process; runc's where it has none.
func umask(p *specs.Process) uint32 {
	const usual = 0o022
	if p.User.Umask == nil {
		return usual
	}
	return *p.User.Umask
}

// visible leaves out the paths of what a room does not have. An image may have
// files there, which a proc or sysfs would hide: they are the image's own.
func visible(paths []string) []string {
	var left []string
	for _, p := range paths {
		p = path.Join("/", p)
		if !strings.HasPrefix(p, "/proc/") && !strings.HasPrefix(p, "/sys/") {
			left = append(left, p)
		}
	}
	return left
}
