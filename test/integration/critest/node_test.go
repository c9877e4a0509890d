package critest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/isolated"
	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// plugin configures the CRI: handler runc, and ours in both ways of making pods.
const plugin = `[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "%[2]s"
[plugins."io.containerd.cri.v1.images".registry]
  config_path = "%[1]s/hosts"
[plugins."io.containerd.cri.v1.runtime"]
  disable_apparmor = true
  restrict_oom_score_adj = true # where CAP_SYS_RESOURCE is missing nothing may lower it
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["/usr/lib/cni"]
    conf_dir = "%[1]s/cni"
  [plugins."io.containerd.cri.v1.runtime".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
      runtime_type = "%[4]s"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.wazero]
      runtime_type = "%[3]s"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.wazero-sandboxed]
      runtime_type = "%[3]s"
      sandboxer = "shim"
`

// network gives pods a bridge, and host ports.
const network = `{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true, "ipMasq": true, "ipam":
    {"type": "host-local", "ranges": [[{"subnet": "10.244.0.0/22"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
`

// startNode starts a containerd with the CRI, which pulls critest's images from a
// registry here, in namespaces that look like a machine of its own.
func startNode(t *testing.T) *testenv.Containerd {
	t.Helper()
	must(t, syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_SHARED, ""))
	for _, dir := range []string{testenv.CNIDir, "/var/lib/kubelet"} { // the latter a constant in critest
		testenv.CoverDir(t, dir)
	}
	c := testenv.StartContainerd(t, testenv.Newest)
	// The root of a user namespace has to find its bundle below.
	must(t, os.Chmod(c.Dir, 0o711))
	c.Stop()
	must(t, os.Mkdir(filepath.Join(c.Dir, "cni"), 0o700))
	must(t, os.WriteFile(filepath.Join(c.Dir, "cni", "10-pods.conflist"), []byte(network), 0o600))
	must(t, os.WriteFile(filepath.Join(c.Dir, "config.toml"),
		fmt.Appendf([]byte(isolated.CRIConfig(c.Dir, 3)), plugin, c.Dir, pauseImage, testenv.Runtime, testenv.RuncRuntime), 0o600))
	registry := testenv.ServeRegistry(t)
	registry.Hosts(t, filepath.Join(c.Dir, "hosts"), "registry.k8s.io", "gcr.io", "test.local")
	for _, img := range images(t) {
		registry.Push(t, img)
	}
	c.Start(t)
	c.Crictl(t).Ready(t)
	t.Cleanup(func() {
		for _, pattern := range []string{"/sys/fs/cgroup/k8s.io", "/sys/fs/cgroup/*/k8s.io"} {
			found, _ := filepath.Glob(pattern)
			for _, dir := range found {
				_ = os.Remove(dir) // only if it is empty: others may run pods
			}
		}
		_ = exec.Command("ip", "link", "delete", "cni0").Run()
	})
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
