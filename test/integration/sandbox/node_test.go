package sandbox

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/isolated"
	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// pauseImage is one that containerd insists on, before 2.4. It cannot run.
const pauseImage = "test.local/not-a-pause:1"

// plugin configures the CRI. The pods' network is a veth pair in the tests' own
// network namespace.
const plugin = `[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "%[2]s"
[plugins."io.containerd.cri.v1.runtime"]
  disable_apparmor = true
  restrict_oom_score_adj = true # where CAP_SYS_RESOURCE is missing nothing may lower it
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    %[4]s
    conf_dir = "%[1]s/cni"
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.wazero]
    runtime_type = "%[3]s"
    sandboxer = "shim"
`

const network = `{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {"type": "ptp", "ipam": {"type": "host-local", "subnet": "10.89.0.0/24", "dataDir": "%[1]s/addresses"}}]}`

var guests testenv.Guests

// node is a containerd with CRI, driven by crictl.
type node struct {
	*testenv.Containerd
	crictl *testenv.Crictl
}

type object map[string]any

func startNode(t *testing.T, version string) *node {
	t.Helper()
	testenv.CoverDir(t, testenv.CNIDir)
	n := &node{Containerd: testenv.StartContainerd(t, version)}
	n.crictl = n.Crictl(t)
	n.Stop()
	plugins := `bin_dirs = ["/usr/lib/cni"]`
	if version == "2.1.4" {
		plugins = `bin_dir = "/usr/lib/cni"`
	}
	must(t, os.Mkdir(filepath.Join(n.Dir, "cni"), 0o700))
	must(t, os.WriteFile(filepath.Join(n.Dir, "cni", "10-pods.conflist"), fmt.Appendf(nil, network, n.Dir), 0o600))
	must(t, os.WriteFile(filepath.Join(n.Dir, "config.toml"), fmt.Appendf([]byte(isolated.CRIConfig(n.Dir, 3)), plugin, n.Dir, pauseImage, testenv.Runtime, plugins), 0o600))
	must(t, isolated.MakeCgroups(n.Namespace))
	n.Start(t)
	n.crictl.Ready(t)
	t.Cleanup(func() {
		_, _ = n.try("rmp", "--all", "--force") // what a test that failed has left
		testenv.Eventually(t, "removal of the pods' bundles", func() error {
			left, err := filepath.Glob(filepath.Join(n.Dir, "state", "io.containerd.sandbox.controller.v1.shim", "k8s.io", "*"))
			if len(left) > 0 {
				err = fmt.Errorf("left: %q", left)
			}
			return err
		})
	})
	n.load(t, guests.Multi(t, testenv.Wasm))
	n.load(t, guests.Multi(t, testenv.Native))
	n.load(t, testenv.Image{Name: pauseImage, Files: map[string]testenv.File{"/x": {Data: []byte("not a program")}}, Config: v1.ImageConfig{Entrypoint: []string{"/x"}}})
	return n
}

// load makes an image known to CRI.
func (n *node) load(t *testing.T, img testenv.Image) {
	t.Helper()
	archive := filepath.Join(t.TempDir(), "image.tar")
	must(t, img.WriteArchive(archive))
	if out, err := n.Command("--namespace", "k8s.io", "images", "import", "--platform", img.OSArch(), archive).CombinedOutput(); err != nil {
		t.Fatalf("import %s: %v: %s", img.Name, err, out)
	}
}

func (n *node) try(args ...string) (string, error) { return n.crictl.Try(args...) }

func (n *node) do(t testing.TB, args ...string) string {
	t.Helper()
	return n.crictl.Do(t, args...)
}

// pod is a pod that runs.
type pod struct {
	*node
	id, config string
}

func (n *node) pod(t *testing.T, name string, namespaces object) *pod {
	t.Helper()
	config := testenv.Request(t, object{
		"metadata": object{"name": name, "namespace": "default", "uid": name + "-uid"},
		"hostname": name + "-host", "log_directory": t.TempDir(), "dns_config": object{"servers": []string{"10.1.2.3"}},
		"linux": object{"cgroup_parent": "/" + n.Namespace, "security_context": object{"namespace_options": namespaces}},
	})
	return &pod{n, n.do(t, "runp", "--runtime", "wazero", config), config}
}

// inspect is what inspectp says.
func (p *pod) inspect() (state string, pid int, err error) {
	var s struct {
		Status struct{ State string }
		Info   struct{ Pid int }
	}
	out, err := p.try("inspectp", p.id)
	if err == nil {
		err = json.Unmarshal([]byte(out), &s)
	}
	return s.Status.State, s.Info.Pid, err
}

func (p *pod) state(t testing.TB) (state string, pid int) {
	t.Helper()
	state, pid, err := p.inspect()
	must(t, err)
	return state, pid
}

// run starts a container in the pod.
func (p *pod) run(t *testing.T, name string, kind testenv.Kind, args ...string) string {
	t.Helper()
	image := guests.Multi(t, kind).Name
	config := testenv.Request(t, object{
		"metadata": object{"name": name}, "image": object{"image": image, "user_specified_image": image},
		"args": args, "log_path": name + ".log", "linux": object{},
	})
	id := p.do(t, "create", "--no-pull", p.id, config, p.config)
	p.do(t, "start", id)
	return id
}

func (p *pod) remove(t testing.TB) {
	t.Helper()
	p.do(t, "stopp", p.id)
	if state, _ := p.state(t); state != "SANDBOX_NOTREADY" {
		t.Errorf("a stopped pod is %s", state)
	}
	p.do(t, "rmp", p.id)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
