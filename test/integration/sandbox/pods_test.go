package sandbox

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// TestPods with every containerd whose CRI has sandboxers.
func TestPods(t *testing.T) {
	for _, version := range []string{"2.1.4", "2.2.0", "2.3.0", testenv.Newest} {
		t.Run(version, func(t *testing.T) {
			n := startNode(t, version)
			t.Run("life", func(t *testing.T) { life(t, n) })
			t.Run("containerd is killed", func(t *testing.T) { containerdKilled(t, n) })
			t.Run("holder is killed", func(t *testing.T) { holderKilled(t, n) })
			t.Run("shim is killed", func(t *testing.T) { shimKilled(t, n) })
			t.Run("node's namespaces", func(t *testing.T) {
				if version < "2.3" {
					t.Skip("this containerd crashes on a pod in the node's network with any shim: NewBundle takes no spec for a nil pointer")
				}
				nodesNamespaces(t, n)
			})
		})
	}
}

func command(pid int) string {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return strings.TrimRight(string(data), "\x00")
}

// life of a pod with a guest and a native program that share what they may.
func life(t *testing.T, n *node) {
	begin := time.Now()
	p := n.pod(t, "life", object{"network": 0, "pid": 0, "ipc": 0})
	t.Logf("the pod is there after %s", time.Since(begin).Round(time.Millisecond))
	state, pid := p.state(t)
	if state != "SANDBOX_READY" || command(pid) != "wazero-holder" {
		t.Errorf("the pod is %s, its process %q", state, command(pid))
	}
	wasm := p.run(t, "wasm", testenv.Wasm, "sleep")
	native := p.run(t, "native", testenv.Native, "sleep")
	if out := p.do(t, "exec", native, "/multi", "read", "/etc/hostname"); out != "life-host" {
		t.Errorf("host name is %q", out)
	}
	if out := p.do(t, "exec", wasm, "/multi.wasm", "read", "/etc/resolv.conf"); out != "nameserver 10.1.2.3" {
		t.Errorf("resolv.conf is %q", out)
	}
	p.do(t, "exec", wasm, "/multi.wasm", "write", "/dev/shm/x", "shared")
	if out := p.do(t, "exec", native, "/multi", "read", "/dev/shm/x"); out != "shared" {
		t.Errorf("the other container reads %q", out)
	}
	if out := p.do(t, "statsp", "--output", "json", p.id); !strings.Contains(out, `"usageCoreNanoSeconds"`) {
		t.Errorf("figures are %s", out)
	}
	p.do(t, "stop", wasm)
	p.do(t, "rm", wasm)
	if out := p.do(t, "exec", native, "/multi", "echo", "still", "here"); out != "still here" {
		t.Errorf("the other container says %q", out)
	}
	if state, _ := p.state(t); state != "SANDBOX_READY" {
		t.Errorf("the pod is %s", state)
	}
	begin = time.Now()
	p.remove(t)
	t.Logf("the pod is gone after %s", time.Since(begin).Round(time.Millisecond))
	if syscall.Kill(pid, 0) == nil {
		t.Error("the holder lives on")
	}
}

// containerdKilled loses nothing.
func containerdKilled(t *testing.T, n *node) {
	p := n.pod(t, "restart", object{"network": 0, "pid": 1, "ipc": 0})
	c := p.run(t, "c", testenv.Wasm, "sleep")
	_, before := p.state(t)
	n.Kill()
	n.Start(t)
	n.crictl.Ready(t)
	if state, pid := p.state(t); state != "SANDBOX_READY" || pid != before {
		t.Errorf("the pod is %s, its process %d, not %d", state, pid, before)
	}
	if out := p.do(t, "exec", c, "/multi.wasm", "echo", "hello"); out != "hello" {
		t.Errorf("the container says %q", out)
	}
	p.run(t, "later", testenv.Native, "sleep")
	p.remove(t)
}

// holderKilled is the end of the pod, as far as the kubelet is concerned.
func holderKilled(t *testing.T, n *node) {
	p := n.pod(t, "holder", object{"network": 0, "pid": 0, "ipc": 0})
	p.run(t, "c", testenv.Wasm, "sleep")
	_, pid := p.state(t)
	must(t, syscall.Kill(pid, syscall.SIGKILL))
	p.awaitNotReady(t)
	p.remove(t)
}

// shimKilled takes the pod with it, and nothing stays.
func shimKilled(t *testing.T, n *node) {
	p := n.pod(t, "shim", object{"network": 0, "pid": 1, "ipc": 0})
	p.run(t, "c", testenv.Wasm, "sleep")
	p.run(t, "native", testenv.Native, "sleep") // does not notice by itself
	_, pid := p.state(t)
	shim := parent(t, pid)
	if !strings.Contains(command(shim), "containerd-shim-wazero-v1") {
		t.Fatalf("the holder's parent is %q", command(shim))
	}
	must(t, syscall.Kill(shim, syscall.SIGKILL))
	p.awaitNotReady(t)
	if command(pid) != "" {
		t.Errorf("process %d is still %q", pid, command(pid))
	}
	p.removeWhenPossible(t)
}

func (p *pod) awaitNotReady(t *testing.T) {
	t.Helper()
	testenv.Eventually(t, "end of the pod", func() error {
		state, _, err := p.inspect() // fails while containerd finds out
		if err == nil && state != "SANDBOX_NOTREADY" {
			err = fmt.Errorf("it is %s", state)
		}
		return err
	})
}

// removeWhenPossible is remove as the kubelet does it: it asks again.
func (p *pod) removeWhenPossible(t *testing.T) {
	t.Helper()
	for _, verb := range []string{"stopp", "rmp"} {
		testenv.Eventually(t, verb, func() error {
			_, err := p.try(verb, p.id)
			return err
		})
	}
}

func parent(t *testing.T, pid int) int {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	must(t, err)
	var state string
	var ppid int
	_, err = fmt.Sscanf(string(stat[strings.LastIndexByte(string(stat), ')')+1:]), " %s %d", &state, &ppid)
	must(t, err)
	return ppid
}

// nodesNamespaces are what a pod of the node itself asks for.
func nodesNamespaces(t *testing.T, n *node) {
	p := n.pod(t, "node", object{"network": 2, "pid": 2, "ipc": 2})
	c := p.run(t, "c", testenv.Native, "sleep")
	if out := p.do(t, "exec", c, "/multi", "echo", "hello"); out != "hello" {
		t.Errorf("it says %q", out)
	}
	_, pid := p.state(t)
	for _, name := range []string{"net", "pid", "ipc", "uts"} {
		pod, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, name))
		must(t, err)
		// Of this process, the first thread may be anywhere.
		node, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", n.Pid(), name))
		must(t, err)
		if pod != node {
			t.Errorf("a %s namespace of its own", name)
		}
	}
	p.remove(t)
}
