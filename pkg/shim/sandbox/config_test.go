package sandbox

import (
	"maps"
	"slices"
	"syscall"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/launcher/pod"
	api "github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/sandboxapi"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/wire"
)

// message encodes fields: numbers and strings, in the order given.
func message(fields ...any) string {
	var b []byte
	for i := 0; i < len(fields); i += 2 {
		num := protowire.Number(fields[i].(int))
		switch v := fields[i+1].(type) {
		case int:
			b = protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), uint64(v))
		case string:
			b = protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), v)
		}
	}
	return string(b)
}

func request(config string) *api.CreateSandboxRequest {
	return &api.CreateSandboxRequest{
		SandboxID: "id", BundlePath: "/bundle", NetnsPath: "/run/netns/x",
		Options: &wire.Any{TypeURL: "type.googleapis.com/runtime.v1.PodSandboxConfig", Value: []byte(config)},
	}
}

func TestPlanOfACompletePod(t *testing.T) {
	t.Parallel()
	mapping := message(1, 100000, 2, 0, 3, 65536)
	namespaces := message(1, 0, 2, 1, 3, 0, 4, "", 5, message(1, 0, 2, mapping, 3, mapping))
	linux := message(1, "/kubepods/pod1", 2, message(1, namespaces, 6, 1), 3, message(1, "net.core.somaxconn", 2, "7"), 5, message(1, 100))
	p, err := plan(request(message(1, message(1, "n"), 2, "host", 4, message(1, "1.1.1.1", 1, "8.8.8.8", 2, "a.b", 3, "ndots:2"), 8, linux, 99, "unknown")))
	if err != nil {
		t.Fatal(err)
	}
	c := p.config
	if c.Hostname != "host" || c.Network != "/run/netns/x" || !c.UTS || !c.IPC || c.PID || !p.shm || c.CgroupParent != "/kubepods/pod1" {
		t.Errorf("%+v", c)
	}
	if want := map[string]string{"net/core/somaxconn": "7"}; !maps.Equal(c.Sysctls, want) {
		t.Errorf("sysctls are %v", c.Sysctls)
	}
	want := []syscall.SysProcIDMap{{HostID: 100000, Size: 65536}}
	if c.User == nil || !slices.Equal(c.User.UIDs, want) || !slices.Equal(c.User.GIDs, want) {
		t.Errorf("user namespace is %+v", c.User)
	}
	if resolv, err := p.dns.file(); err != nil || string(resolv) != "search a.b\nnameserver 1.1.1.1\nnameserver 8.8.8.8\noptions ndots:2\n" {
		t.Errorf("resolv.conf is %q, %v", resolv, err)
	}
}

func TestPlanOfAPodOfAnotherClient(t *testing.T) {
	t.Parallel()
	p, err := plan(&api.CreateSandboxRequest{SandboxID: "id", BundlePath: "/bundle"})
	if err != nil {
		t.Fatal(err)
	}
	if c := p.config; c.UTS || !c.IPC || c.PID || c.User != nil || c.Network != "" {
		t.Errorf("%+v", c)
	}
}

func TestPlansThatAreErrors(t *testing.T) {
	t.Parallel()
	user := func(namespace string) string { return message(8, message(2, message(1, message(5, namespace)))) }
	for name, r := range map[string]*api.CreateSandboxRequest{
		"truncated":                       request("\x12\x20short"),
		"other type":                      {SandboxID: "id", BundlePath: "/b", Options: &wire.Any{TypeURL: "x.Config", Value: []byte("x")}},
		"no id":                           {BundlePath: "/b"},
		"relative bundle":                 {SandboxID: "id", BundlePath: "b"},
		"node's network with a namespace": request(message(8, message(2, message(1, message(1, 2))))),
		"container's user namespace":      request(user(message(1, 1))),
		"user namespace without mapping":  request(user(message(1, 0))),
	} {
		if _, err := plan(r); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestSysctlNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"net.ipv4.ip_forward":              "net/ipv4/ip_forward",
		"net/ipv4/ip_forward":              "net/ipv4/ip_forward",
		"net/ipv4/conf/eth0.100/rp_filter": "net/ipv4/conf/eth0.100/rp_filter",
		"net.ipv4.conf.eth0/100.rp_filter": "net/ipv4/conf/eth0.100/rp_filter",
	} {
		if got := sysctlPath(name); got != want {
			t.Errorf("%s is at %s, want %s", name, got, want)
		}
	}
	all := pod.Config{Network: "/x", IPC: true, UTS: true}
	for _, name := range []string{"net.core.x", "kernel.sem", "fs.mqueue.msg_max", "kernel.domainname"} {
		c := all
		if err := setSysctls(&c, map[string]string{name: "1"}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := setSysctls(&pod.Config{}, map[string]string{name: "1"}); err == nil {
			t.Errorf("%s: changes the node's", name)
		}
	}
	for _, name := range []string{"vm.swappiness", "kernel.hostname", "kernel.core_pattern", "net", "net//x", "net/../vm/x", "/net/x", "", "..", "kernel/../vm/x"} {
		c := all
		if err := setSysctls(&c, map[string]string{name: "1"}); err == nil {
			t.Errorf("%q is taken as %v", name, c.Sysctls)
		}
	}
}

// FuzzConfig looks for configurations that end the shim, or get out of their
// namespaces.
func FuzzConfig(f *testing.F) {
	f.Add([]byte(message(2, "h", 8, message(1, "/p", 2, message(1, message(1, 0, 2, 1)), 3, message(1, "net.x", 2, "1")))))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := plan(request(string(data)))
		if err != nil {
			return
		}
		for name := range p.config.Sysctls {
			if name == "" || name[0] == '/' || name[0] == '.' {
				t.Errorf("sysctl %q", name)
			}
		}
	})
}
