package kubernetes

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// kernelStatus is /proc/<pid>/status by field.
func kernelStatus(t *testing.T, text string) map[string]string {
	t.Helper()
	status := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(line, ":"); ok {
			status[name] = strings.Join(strings.Fields(value), " ")
		}
	}
	return status
}

func requireStatus(t *testing.T, who string, status map[string]string, want map[string]string) {
	t.Helper()
	for name, value := range want {
		if status[name] != value {
			t.Errorf("%s: %s is %q, not %q", who, name, status[name], value)
		}
	}
}

// guestStatus is what the kernel says about the process of a guest.
func (k cluster) guestStatus(t *testing.T, p *testenv.LivePod) map[string]string {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", k.pid(t, p, "app")))
	if err != nil {
		t.Fatal(err)
	}
	return kernelStatus(t, string(data))
}

func securityContext(t *testing.T, k cluster) {
	p := k.pod(t, `
securityContext: {runAsUser: 1000, runAsGroup: 1001, fsGroup: 1002, supplementalGroups: [1003], seccompProfile: {type: RuntimeDefault}}
volumes: [{name: disk, emptyDir: {}}]
containers:
- name: app
  image: WASM
  args: [sleep]
  securityContext: {readOnlyRootFilesystem: true, runAsNonRoot: true}
  volumeMounts: [{name: disk, mountPath: /disk}]
- name: tools
  image: TOOLS
  command: [/multi, sleep]
  securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
- name: root
  image: TOOLS
  command: [/multi, sleep]
  securityContext: {runAsUser: 0, capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}}
`)
	p.Ready(t)
	const ids, gids = "1000 1000 1000 1000", "1001 1001 1001 1001"
	guest := k.guestStatus(t, p)
	// A guest has no use for privileges, so it never has any.
	requireStatus(t, "guest", guest, map[string]string{
		"Uid": ids, "Gid": gids, "CapEff": "0000000000000000", "CapBnd": "0000000000000000", "NoNewPrivs": "1", "Seccomp": "2"})
	groups := strings.Fields(guest["Groups"])
	if !slices.Contains(groups, "1002") || !slices.Contains(groups, "1003") {
		t.Errorf("the guest's groups are %q", groups)
	}
	requireStatus(t, "sidecar", kernelStatus(t, p.Output(t, "tools", "/toolbox", "status")), map[string]string{
		"Uid": ids, "Gid": gids, "CapBnd": "0000000000000000", "NoNewPrivs": "1", "Seccomp": "2"})
	requireStatus(t, "sidecar as root", kernelStatus(t, p.Output(t, "root", "/toolbox", "status")), map[string]string{
		"Uid": "0 0 0 0", "CapEff": "0000000000000400", "CapBnd": "0000000000000400", "NoNewPrivs": "0", "Seccomp": "2"})
	if r := p.Exec(t, "app", "/multi.wasm", "write", "/tmp/file", "x"); r.Status == 0 {
		t.Errorf("the guest writes to a read-only file system: %+v", r)
	}
	p.Output(t, "app", "/multi.wasm", "write", "/disk/file", "x") // by the group of the volume
}

// namespaces are shared by a pod's containers, and not with the node.
func namespaces(t *testing.T, k cluster) {
	p := k.pod(t, twoContainers)
	p.Ready(t)
	app, tools := k.pid(t, p, "app"), k.pid(t, p, "tools")
	for _, kind := range []string{"net", "ipc", "uts"} {
		if namespace(t, app, kind) != namespace(t, tools, kind) || namespace(t, app, kind) == namespace(t, os.Getpid(), kind) {
			t.Errorf("namespace %s: guest %s, sidecar %s, node %s", kind, namespace(t, app, kind), namespace(t, tools, kind), namespace(t, os.Getpid(), kind))
		}
	}
	for _, kind := range []string{"pid", "mnt"} {
		if namespace(t, app, kind) == namespace(t, tools, kind) {
			t.Errorf("guest and sidecar share the namespace %s", kind)
		}
	}
	if got := p.Output(t, "tools", "/toolbox", "uname"); got != p.Name+"\n" {
		t.Errorf("the hostname is %q", got)
	}
}

const twoContainers = `
containers:
- {name: app, image: WASM, args: [sleep]}
- {name: tools, image: TOOLS, command: [/multi, sleep]}
`

func namespace(t *testing.T, pid int, kind string) string {
	t.Helper()
	link, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
	if err != nil {
		t.Fatal(err)
	}
	return link
}

func shareProcessNamespace(t *testing.T, k cluster) {
	p := k.pod(t, "shareProcessNamespace: true"+twoContainers)
	p.Ready(t)
	if app, tools := namespace(t, k.pid(t, p, "app"), "pid"), namespace(t, k.pid(t, p, "tools"), "pid"); app != tools {
		t.Errorf("guest and sidecar have the namespaces %s and %s", app, tools)
	}
	processes := p.Output(t, "tools", "/toolbox", "ps")
	for _, want := range []string{"/multi.wasm sleep", "/multi sleep"} {
		if !strings.Contains(processes, want) {
			t.Errorf("the sidecar sees no %q:\n%s", want, processes)
		}
	}
	if r := p.Exec(t, "app", "/multi.wasm", "exit", "5"); r.Status != 5 {
		t.Errorf("exec in the guest's container: %+v", r)
	}
}

func hostNetwork(t *testing.T, k cluster) {
	p := k.pod(t, "hostNetwork: true"+twoContainers)
	pod := p.Ready(t)
	if pod.Status.PodIP != testenv.NodeIP {
		t.Errorf("the pod's address is %q", pod.Status.PodIP)
	}
	for _, container := range []string{"app", "tools"} {
		if namespace(t, k.pid(t, p, container), "net") != namespace(t, os.Getpid(), "net") {
			t.Errorf("%s is not in the node's network", container)
		}
	}
}

// hostUsers runs a pod in a user namespace: its root is nobody on the node.
func hostUsers(t *testing.T, k cluster) {
	p := k.pod(t, `
hostUsers: false
volumes: [{name: disk, emptyDir: {}}]
containers:
- {name: app, image: WASM, args: [sleep], volumeMounts: [{name: disk, mountPath: /disk}]}
- {name: tools, image: TOOLS, command: [/multi, sleep], volumeMounts: [{name: disk, mountPath: /disk}]}
`)
	p.Ready(t)
	for _, container := range []string{"app", "tools"} {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/uid_map", k.pid(t, p, container)))
		if err != nil {
			t.Fatal(err)
		}
		if fields := strings.Fields(string(data)); len(fields) != 3 || fields[0] != "0" || fields[1] == "0" {
			t.Errorf("%s has the users %q", container, data)
		}
	}
	if uid := strings.Fields(k.guestStatus(t, p)["Uid"]); len(uid) == 0 || uid[0] == "0" {
		t.Errorf("the guest is user %q on the node", uid)
	}
	p.Output(t, "app", "/multi.wasm", "write", "/disk/file", "mapped")
	if got := p.Output(t, "tools", "/multi", "read", "/disk/file"); got != "mapped\n" {
		t.Errorf("the sidecar reads %q", got)
	}
}
