package sandbox

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/launcher/pod"
)

// ipcSysctls belong to an IPC namespace, and so does all of fs/mqueue.
var ipcSysctls = []string{
	"kernel/msgmax", "kernel/msgmnb", "kernel/msgmni", "kernel/sem",
	"kernel/shmall", "kernel/shmmax", "kernel/shmmni", "kernel/shm_rmid_forced",
}

// sysctlPath is where a sysctl is below /proc/sys. Like sysctl(8) it takes both
// separators, the first one found; the other stands for itself, as in
// "net/ipv4/conf/eth0.100/rp_filter".
func sysctlPath(name string) string {
	if i := strings.IndexAny(name, "./"); i >= 0 && name[i] == '.' {
		name = strings.Map(func(r rune) rune {
			switch r {
			case '.':
				return '/'
			case '/':
				return '.'
			}
			return r
		}, name)
	}
	return name
}

// setSysctls gives a pod those of the configuration, if they belong to a namespace
// that is its own: another one would change the host's.
func setSysctls(to *pod.Config, sysctls map[string]string) error {
	to.Sysctls = make(map[string]string, len(sysctls))
	for name, value := range sysctls {
		at := sysctlPath(name)
		var own bool
		var namespace string
		switch {
		case at != path.Clean(at) || strings.HasPrefix(at, "/") || strings.HasPrefix(at, ".."):
			return fmt.Errorf("sysctl %q is not a name", name)
		case strings.HasPrefix(at, "net/"):
			own, namespace = to.Network != "", "network"
		case slices.Contains(ipcSysctls, at), strings.HasPrefix(at, "fs/mqueue/"):
			own, namespace = to.IPC, "IPC"
		case at == "kernel/domainname":
			own, namespace = to.UTS, "UTS"
		default:
			return fmt.Errorf("sysctl %q does not belong to a namespace of the pod: it would change the node's", name)
		}
		if !own {
			return fmt.Errorf("sysctl %q is not allowed: the pod uses the node's %s namespace", name, namespace)
		}
		to.Sysctls[at] = value
	}
	if to.Network == "" {
		return nil
	}
	// What containerd sets for pause containers unless it is told otherwise
	// (enable_unprivileged_ports, enable_unprivileged_icmp); it does not tell us.
	to.Wished = map[string]string{"net/ipv4/ip_unprivileged_port_start": "0"}
	if to.User == nil {
		to.Wished["net/ipv4/ping_group_range"] = "0 2147483647"
	}
	return nil
}
