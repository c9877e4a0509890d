package direct

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// holder is a process in new namespaces; its network has lo switched off.
func holder(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS | syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
}

// setNamespaces makes those of the given types be as a function says, for "" none.
func setNamespaces(s *specs.Spec, as func(specs.LinuxNamespaceType) *specs.LinuxNamespace, types ...specs.LinuxNamespaceType) {
	s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(ns specs.LinuxNamespace) bool { return slices.Contains(types, ns.Type) })
	for _, kind := range types {
		if ns := as(kind); ns != nil {
			s.Linux.Namespaces = append(s.Linux.Namespaces, *ns)
		}
	}
}

// names below /proc/<pid>/ns.
var names = map[specs.LinuxNamespaceType]string{specs.NetworkNamespace: "net", specs.IPCNamespace: "ipc", specs.UTSNamespace: "uts", specs.PIDNamespace: "pid"}

// joined are namespaces of a holder.
func joined(types ...specs.LinuxNamespaceType) func(*testing.T, *place, *specs.Spec) {
	return func(t *testing.T, p *place, s *specs.Spec) {
		p.holder = holder(t)
		setNamespaces(s, func(kind specs.LinuxNamespaceType) *specs.LinuxNamespace {
			return &specs.LinuxNamespace{Type: kind, Path: fmt.Sprintf("/proc/%d/ns/%s", p.holder, names[kind])}
		}, types...)
	}
}

// askNamespaces tells which namespaces are the holder's, and how it is in them.
func askNamespaces(t *testing.T, p *place, k *testenv.Task, v view) {
	t.Helper()
	pid := int(k.Pid())
	for _, kind := range names {
		if p.holder != 0 {
			v["holder's "+kind] = fmt.Sprint(namespaceOf(t, pid, kind) == namespaceOf(t, p.holder, kind))
		}
	}
	v["hostname"] = enter(t, pid, "hostname")
	v["domainname"] = enter(t, pid, "cat /proc/sys/kernel/domainname")
	v["lo"] = enter(t, pid, "cat /sys/class/net/lo/flags 2>/dev/null; ip -oneline link show lo | cut -d' ' -f3")
	v["processes"] = fmt.Sprint(len(statusOf(t, pid)["NSpid"]) > len(fmt.Sprint(pid))) // it has two numbers
	execIn(t, p, k, v, func(*specs.Process) {})
}

func namespaces() []comparison {
	all := []specs.LinuxNamespaceType{specs.NetworkNamespace, specs.IPCNamespace, specs.UTSNamespace, specs.PIDNamespace}
	host, err := os.Hostname()
	if err != nil {
		host = err.Error()
	}
	ours := view{}
	for _, kind := range names {
		ours["namespace "+kind] = "the host's"
	}
	return []comparison{
		{
			name:   "new namespaces",
			fields: []string{"linux.namespaces[].type", "hostname", "domainname"},
			spec:   func(_ *testing.T, _ *place, s *specs.Spec) { s.Hostname, s.Domainname = "a-host", "a-domain" },
			ask:    askNamespaces,
			want:   view{"hostname": "a-host", "domainname": "a-domain", "namespace uts": "its own", "namespace ipc": "its own", "processes": "true", "exec shares pid": "true"},
		},
		{
			name: "namespaces of the host",
			spec: func(_ *testing.T, _ *place, s *specs.Spec) {
				setNamespaces(s, func(specs.LinuxNamespaceType) *specs.LinuxNamespace { return nil }, all...)
			},
			ask:  func(t *testing.T, p *place, k *testenv.Task, v view) { askNamespaces(t, p, k, v) },
			want: merge(ours, view{"hostname": host}),
		},
		{
			name:   "namespaces of others",
			fields: []string{"linux.namespaces[].path"},
			spec: func(t *testing.T, p *place, s *specs.Spec) {
				joined(all...)(t, p, s)
				s.Hostname = "named-by-path"
			},
			ask:  askNamespaces,
			want: view{"holder's net": "true", "holder's ipc": "true", "holder's uts": "true", "holder's pid": "true", "hostname": "named-by-path"},
		},
		{
			name: "network of others",
			spec: joined(specs.NetworkNamespace),
			ask:  askNamespaces,
			want: view{"holder's net": "true", "holder's ipc": "false", "holder's uts": "false", "holder's pid": "false"},
		},
		{
			name: "namespaces that make no difference",
			spec: func(_ *testing.T, _ *place, s *specs.Spec) {
				s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
				setNamespaces(s, func(kind specs.LinuxNamespaceType) *specs.LinuxNamespace { return &specs.LinuxNamespace{Type: kind} }, specs.CgroupNamespace)
			},
			ask: askNamespaces,
		},
		{
			name:   "sysctls",
			fields: []string{"linux.sysctl.*"},
			spec: func(_ *testing.T, _ *place, s *specs.Spec) {
				s.Linux.Sysctl = map[string]string{
					"net.ipv4.ip_local_port_range": "2000 3000", "net.ipv4.ping_group_range": "0 7", "kernel.msgmax": "9001", "kernel.shm_rmid_forced": "1",
					"fs.mqueue.msg_max": "11", "kernel.domainname": "by-sysctl", "net.ipv4.conf.lo.forwarding": "1",
				}
			},
			sysctls: []string{"net.ipv4.ip_local_port_range", "net.ipv4.ping_group_range", "kernel.msgmax", "kernel.shm_rmid_forced", "fs.mqueue.msg_max", "kernel.domainname", "net.ipv4.conf.lo.forwarding"},
			want:    view{"sysctl net.ipv4.ip_local_port_range": "2000\t3000", "sysctl kernel.msgmax": "9001", "sysctl fs.mqueue.msg_max": "11", "sysctl kernel.domainname": "by-sysctl"},
		},
		{
			name: "sysctls of a network of others",
			spec: func(t *testing.T, p *place, s *specs.Spec) {
				joined(specs.NetworkNamespace)(t, p, s)
				s.Linux.Sysctl = map[string]string{"net.ipv4.ip_local_port_range": "4000 5000"}
			},
			sysctls: []string{"net.ipv4.ip_local_port_range"},
			want:    view{"sysctl net.ipv4.ip_local_port_range": "4000\t5000"},
		},
	}
}

func merge(views ...view) view {
	all := view{}
	for _, v := range views {
		for key, value := range v {
			all[key] = value
		}
	}
	return all
}
