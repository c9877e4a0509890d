package sandbox

import (
	"fmt"
	"strings"
	"syscall"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/launcher/pod"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/protofields"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/wire"
)

// namespaceMode is CRI's NamespaceMode.
type namespaceMode uint64

const (
	modePod namespaceMode = iota
	modeContainer
	modeNode
	modeTarget
)

// config are the parts of CRI's PodSandboxConfig that matter here.
type config struct {
	hostname          string
	dns               *dnsConfig // nil means the host's
	cgroupParent      string
	sysctls           map[string]string
	network, pid, ipc namespaceMode
	userMode          namespaceMode
	hasUser           bool
	uids, gids        []syscall.SysProcIDMap
	fromCRI           bool
}

type dnsConfig struct{ servers, searches, options []string }

// configType ends the name of the type in which CRI sends a pod's configuration.
const configType = "PodSandboxConfig"

// parseConfig reads the options of CreateSandbox. Clients other than CRI send
// none: their pods have the defaults.
func parseConfig(any *wire.Any) (*config, error) {
	c := &config{}
	if len(any.GetTypeURL()) == 0 && len(any.GetValue()) == 0 {
		return c, nil
	}
	if !strings.HasSuffix(any.GetTypeURL(), "."+configType) {
		return nil, fmt.Errorf("sandbox options have type %q: send CRI's %s, or none", any.GetTypeURL(), configType)
	}
	c.fromCRI = true
	if err := c.parse(any.GetValue()); err != nil {
		return nil, fmt.Errorf("decode %s: %w", any.GetTypeURL(), err)
	}
	return c, nil
}

// user is the mapping of the pod's user namespace, or nil.
func (c *config) user() (*pod.Mapping, error) {
	switch {
	case !c.hasUser || c.userMode == modeNode:
		return nil, nil
	case c.userMode != modePod:
		return nil, fmt.Errorf("user namespace mode %d: a pod has one of its own or the node's", c.userMode)
	case len(c.uids) == 0 || len(c.gids) == 0:
		return nil, fmt.Errorf("a user namespace without a mapping of users and groups")
	}
	return &pod.Mapping{UIDs: c.uids, GIDs: c.gids}, nil
}

// parse reads PodSandboxConfig (k8s.io/cri-api, pkg/apis/runtime/v1/api.proto).
func (c *config) parse(data []byte) error {
	return protofields.Each(data, func(num protofields.Number, value []byte, _ uint64) error {
		switch num {
		case 2:
			c.hostname = string(value)
		case 4:
			return c.parseDNS(value)
		case 8:
			return c.parseLinux(value)
		}
		return nil
	})
}

func (c *config) parseDNS(data []byte) error {
	c.dns = &dnsConfig{}
	return protofields.Each(data, func(num protofields.Number, value []byte, _ uint64) error {
		switch num {
		case 1:
			c.dns.servers = append(c.dns.servers, string(value))
		case 2:
			c.dns.searches = append(c.dns.searches, string(value))
		case 3:
			c.dns.options = append(c.dns.options, string(value))
		}
		return nil
	})
}

// parseLinux reads LinuxPodSandboxConfig.
func (c *config) parseLinux(data []byte) error {
	return protofields.Each(data, func(num protofields.Number, value []byte, _ uint64) error {
		switch num {
		case 1:
			c.cgroupParent = string(value)
		case 2: // LinuxSandboxSecurityContext
			return protofields.Each(value, func(num protofields.Number, value []byte, _ uint64) error {
				if num == 1 {
					return c.parseNamespaces(value)
				}
				return nil
			})
		case 3:
			return c.parseSysctl(value)
		}
		return nil
	})
}

// parseSysctl reads an entry of the map.
func (c *config) parseSysctl(data []byte) error {
	var key, val string
	err := protofields.Each(data, func(num protofields.Number, value []byte, _ uint64) error {
		switch num {
		case 1:
			key = string(value)
		case 2:
			val = string(value)
		}
		return nil
	})
	if c.sysctls == nil {
		c.sysctls = make(map[string]string)
	}
	c.sysctls[key] = val
	return err
}

// parseNamespaces reads NamespaceOption.
func (c *config) parseNamespaces(data []byte) error {
	return protofields.Each(data, func(num protofields.Number, value []byte, number uint64) error {
		switch num {
		case 1:
			c.network = namespaceMode(number)
		case 2:
			c.pid = namespaceMode(number)
		case 3:
			c.ipc = namespaceMode(number)
		case 5:
			c.hasUser = true
			return c.parseUser(value)
		}
		return nil
	})
}

// parseUser reads UserNamespace.
func (c *config) parseUser(data []byte) error {
	return protofields.Each(data, func(num protofields.Number, value []byte, number uint64) error {
		switch num {
		case 1:
			c.userMode = namespaceMode(number)
		case 2:
			return parseMapping(value, &c.uids)
		case 3:
			return parseMapping(value, &c.gids)
		}
		return nil
	})
}

// parseMapping reads an IDMapping.
func parseMapping(data []byte, to *[]syscall.SysProcIDMap) error {
	var m syscall.SysProcIDMap
	err := protofields.Each(data, func(num protofields.Number, _ []byte, number uint64) error {
		switch num {
		case 1:
			m.HostID = int(uint32(number))
		case 2:
			m.ContainerID = int(uint32(number))
		case 3:
			m.Size = int(uint32(number))
		}
		return nil
	})
	*to = append(*to, m)
	return err
}
