package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/isolated"
)

// Cluster is a Kubernetes cluster of one node: etcd, API server, scheduler,
// controller manager and kubelet on top of a private containerd. All of it is in
// the tests' own namespaces; the pods' network is a bridge there.
type Cluster struct {
	Containerd *Containerd
	// Registry is what the node pulls images of registry.test from.
	Registry *Registry

	dir     string
	bin     string // directory of the Kubernetes binaries
	crictl  *Crictl
	api     apiClient
	daemons []*daemon // in the order of their starts
}

// Names of the cluster that tests need.
const (
	// Node is the name of the only node.
	Node = "node1"
	// RuntimeClass runs pods with our shim, the sandbox as a container of its own;
	// SandboxedClass with our shim as containerd's sandbox controller.
	RuntimeClass   = "wazero"
	SandboxedClass = "wazero-sandboxed"

	// NodeIP is the node's address in the pods' network.
	NodeIP  = "10.244.0.1"
	podCIDR = "10.244.0.0/22"
	bridge  = "cni0"
)

// StartCluster starts a cluster and imports images into it. When the test ends
// it is stopped, and the test fails if anything is left.
func StartCluster(t testing.TB, images ...Image) *Cluster {
	t.Helper()
	begin := time.Now()
	if _, err := os.Stat(filepath.Join(cniPlugins, "bridge")); err != nil {
		t.Fatalf("pods need CNI plugins in %s, run make tools: %v", cniPlugins, err)
	}
	etcd := filepath.Join(Tool(t, "etcd", etcdVersion), "etcd")
	k := &Cluster{bin: Tool(t, "kubernetes", kubernetesVersion)}
	// These paths are constants in the kubelet and in CNI's library.
	for _, dir := range []string{"/var/lib/kubelet", CNIDir, "/var/log"} {
		CoverDir(t, dir)
	}
	k.Containerd = StartContainerd(t, Newest, withConfig(criConfig))
	k.crictl = k.Containerd.Crictl(t)
	k.dir = k.Containerd.file("k")
	t.Logf("tools and containerd after %s", time.Since(begin).Round(time.Millisecond))
	t.Cleanup(func() { k.cleanup(t) })
	if err := os.MkdirAll(k.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	// The root of a user namespace has to find its bundle below.
	if err := os.Chmod(k.Containerd.Dir, 0o711); err != nil {
		t.Fatal(err)
	}
	k.Registry = ServeRegistry(t)
	k.Registry.Hosts(t, k.file("hosts"), "registry.test")
	k.prepareNode(t)
	k.writeFiles(t)
	k.startControlPlane(t, etcd)
	imported := make(chan struct{})
	t.Cleanup(func() { <-imported }) // it must not fail a test that is over
	go func() {
		defer close(imported)
		for _, img := range images {
			k.Import(t, img)
		}
	}()
	k.waitFor(t, "API server", func() error { return k.api.get("/readyz", nil) })
	k.StartKubelet(t)
	k.startControllers(t)
	k.createClasses(t)
	<-imported
	k.WaitForNode(t)
	t.Logf("cluster ready after %s", time.Since(begin).Round(time.Millisecond))
	return k
}

func (k *Cluster) file(name string) string { return filepath.Join(k.dir, name) }

// Import makes an image known to the node.
func (k *Cluster) Import(t testing.TB, img Image) {
	archive := filepath.Join(k.dir, strings.NewReplacer("/", "_", ":", "_").Replace(img.Name)+".tar")
	if err := img.WriteArchive(archive); err != nil {
		t.Error(err)
		return
	}
	defer os.Remove(archive)
	if out, err := k.Ctr("images", "import", "--platform", img.OSArch(), archive).CombinedOutput(); err != nil {
		t.Errorf("import %s: %v\n%s", img.Name, err, out)
	}
}

// Ctr is ctr in the namespace of the kubelet's containers, not started yet.
func (k *Cluster) Ctr(args ...string) *exec.Cmd {
	return k.Containerd.Command(append([]string{"--namespace", "k8s.io"}, args...)...)
}

// Crictl is crictl with arguments, not started yet.
func (k *Cluster) Crictl(args ...string) *exec.Cmd { return k.crictl.Command(args...) }

// prepareNode gives the kubelet what it expects of a machine, in the tests' own
// mount, network and UTS namespaces.
func (k *Cluster) prepareNode(t testing.TB) {
	t.Helper()
	if err := syscall.Sethostname([]byte(Node)); err != nil {
		t.Fatalf("set the hostname: %v", err)
	}
	// Mounts of the kubelet are to be seen by containerd, and some by containers.
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_SHARED, ""); err != nil {
		t.Fatalf("make mounts shared: %v", err)
	}
	for _, args := range [][]string{
		{"link", "add", bridge, "type", "bridge"},
		{"addr", "add", NodeIP + "/22", "dev", bridge},
		{"link", "set", bridge, "up"},
		{"route", "add", "default", "via", NodeIP, "dev", bridge}, // daemons find the node's address by it
	} {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	if err := isolated.MakeCgroups(k.Containerd.Namespace); err != nil {
		t.Fatal(err)
	}
}

// WaitForNode waits until the node, after a part of it has been restarted, is ready.
func (k *Cluster) WaitForNode(t testing.TB) {
	t.Helper()
	k.waitFor(t, "node that is ready for pods", k.nodeReady)
}

// nodeReady says whether pods would be scheduled, and accepted, now.
func (k *Cluster) nodeReady() error {
	var node struct {
		Spec   struct{ Taints []any }
		Status struct {
			Conditions      []Condition
			RuntimeHandlers []struct{ Name string }
		}
	}
	if err := k.api.get("/api/v1/nodes/"+Node, &node); err != nil {
		return err
	}
	ready := slices.ContainsFunc(node.Status.Conditions, func(c Condition) bool { return c.Type == "Ready" && c.Status == "True" })
	if !ready || len(node.Spec.Taints) > 0 || len(node.Status.RuntimeHandlers) == 0 {
		return fmt.Errorf("node: %+v", node)
	}
	return k.api.get("/api/v1/namespaces/default/serviceaccounts/default", nil)
}

// waitFor is Eventually with the daemons' logs in the message of a failure.
func (k *Cluster) waitFor(t testing.TB, what string, check func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(3 * limit); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
		for _, d := range k.daemons {
			if d.ended() {
				t.Fatalf("no %s: %s has ended\n%s", what, d.name, tail(d.output(), 30))
			}
		}
	}
	t.Fatalf("no %s: %v\n%s", what, err, k.logs())
}

// logs are the ends of the daemons' logs.
func (k *Cluster) logs() string {
	var b strings.Builder
	for _, d := range k.daemons {
		fmt.Fprintf(&b, "--- end of the log of %s\n%s\n", d.name, tail(d.output(), 25))
	}
	return b.String()
}

// cleanup stops what is above containerd, whose own cleanup then looks for leaks.
func (k *Cluster) cleanup(t testing.TB) {
	begin := time.Now()
	k.removeLeftPods(t)
	k.ForgetPods(t)
	k.RequireClean(t)
	for _, d := range slices.Backward(k.daemons) {
		d.end(syscall.SIGTERM)
	}
	if t.Failed() {
		t.Log(k.logs())
	}
	if out, err := k.Ctr("containers", "list", "--quiet").Output(); err != nil || len(out) > 0 {
		t.Errorf("containers are left: %q (%v)", out, err)
	}
	// The kubelet keeps its own groups; what runs in them is found by containerd's cleanup.
	if err := isolated.RemoveCgroupTrees(k.Containerd.Namespace); err != nil {
		t.Error(err)
	}
	if out, err := exec.Command("ip", "link", "delete", bridge).CombinedOutput(); err != nil {
		t.Errorf("remove the bridge: %v: %s", err, out)
	}
	t.Logf("cluster stopped after %s", time.Since(begin).Round(time.Millisecond))
}

// removeLeftPods deletes pods that tests have left, which is an error.
func (k *Cluster) removeLeftPods(t testing.TB) {
	var list struct{ Items []Pod }
	if err := k.api.get("/api/v1/pods", &list); err != nil {
		t.Errorf("list pods: %v", err)
		return
	}
	for _, p := range list.Items {
		t.Errorf("pod %s is left", p.Metadata.Name)
		_ = k.api.send("DELETE", p.path(), "gracePeriodSeconds: 0", nil)
	}
	if len(list.Items) > 0 {
		time.Sleep(Slow(3 * time.Second))
	}
}

// ForgetPods removes containerd's records of pods that have ended, which the
// kubelet does after up to a minute. Until then a sandbox that our shim made as
// a sandbox controller keeps its shim, since it can still be asked for its state.
func (k *Cluster) ForgetPods(t testing.TB) {
	t.Helper()
	var err error
	for range 10 { // removal by the kubelet at the same time is an error for one of both
		var out []byte
		if out, err = k.Crictl("pods", "--state", "NotReady", "--quiet").Output(); err != nil {
			break
		}
		ids := strings.Fields(string(out))
		if len(ids) == 0 {
			return
		}
		if out, err = k.Crictl(append([]string{"rmp"}, ids...)...).CombinedOutput(); err != nil {
			err = fmt.Errorf("%w: %s", err, out)
			time.Sleep(200 * time.Millisecond)
		}
	}
	t.Errorf("records of pods that have ended stay: %v", err)
}

// RequireClean fails the test if pods have left something on the node, where all
// of them have been deleted. What is just going away gets some time.
func (k *Cluster) RequireClean(t testing.TB) {
	t.Helper()
	var left []string
	for deadline := time.Now().Add(limit); ; time.Sleep(100 * time.Millisecond) {
		left = nil
		for _, list := range []func() ([]string, error){k.tasks, k.shims, k.podCgroups, podMounts, podNamespaces, links, cniRecords} {
			lines, err := list()
			if err != nil {
				t.Errorf("look for what pods have left: %v", err)
			}
			left = append(left, lines...)
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("pods have left %d things:\n  %s", len(left), strings.Join(left, "\n  "))
			return
		}
	}
}
