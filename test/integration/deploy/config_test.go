package deploy

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"text/template"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/isolated"
	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

const pauseImage = "test.local/pause:1"

// base are settings of the CRI plugin that a node has before ours come, and that
// have to stay, by the version of the format.
var base = map[int]string{
	2: `[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "` + pauseImage + `"
  restrict_oom_score_adj = true # where CAP_SYS_RESOURCE is missing nothing may lower it
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    conf_dir = "%[1]s/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    pod_annotations = ["stays.example.com/*"]
`,
	3: `[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "` + pauseImage + `"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true # where CAP_SYS_RESOURCE is missing nothing may lower it
  disable_apparmor = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    conf_dir = "%[1]s/cni"
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    pod_annotations = ["stays.example.com/*"]
`,
}

// delivery puts one of our files where its comment says, given a node's main
// configuration, which it returns.
type delivery func(t *testing.T, dir, main string) string

// appended is for containerd 1.x: at the end of the main file.
func appended(name string) delivery {
	return func(t *testing.T, _, main string) string {
		t.Helper()
		return main + strings.Replace(read(t, name), "\nversion = 2\n", "\n", 1)
	}
}

// dropped is for containerd 2.x: a file that the main one imports.
func dropped(name string) delivery {
	return func(t *testing.T, dir, main string) string {
		t.Helper()
		must(t, os.WriteFile(filepath.Join(dir, "conf.d", "wazero.toml"), []byte(read(t, name)), 0o600))
		return main
	}
}

// uncommented is dropped with a line that the file has in a comment.
func uncommented(name, key string) delivery {
	return func(t *testing.T, dir, main string) string {
		t.Helper()
		config, comment := read(t, name), "\n  # "+key+" = "
		if !strings.Contains(config, comment) {
			t.Fatalf("%s has no comment with %s", name, key)
		}
		config = strings.Replace(config, comment, "\n  "+key+" = ", 1)
		must(t, os.WriteFile(filepath.Join(dir, "conf.d", "wazero.toml"), []byte(config), 0o600))
		return main
	}
}

// templated is for k3s, which executes the file with its own part as "base".
func templated(name string) delivery {
	return func(t *testing.T, _, main string) string {
		t.Helper()
		tmpl := template.Must(template.New("config").Parse(read(t, name)))
		template.Must(tmpl.New("base").Parse(main))
		var b strings.Builder
		must(t, tmpl.Execute(&b, nil))
		return b.String()
	}
}

// patched is for kind, which merges the patch of the version into the node's
// configuration: tables that are not there yet are as good as appended.
func patched(version int) delivery {
	return func(t *testing.T, _, main string) string {
		t.Helper()
		head := fmt.Sprintf("\n- |-\n  version = %d\n", version)
		_, patch, found := strings.Cut(read(t, "kind/cluster.yaml"), head)
		if !found {
			t.Fatalf("kind/cluster.yaml has no patch of version %d", version)
		}
		patch, _, _ = strings.Cut(patch, "\n- |-\n")
		return main + patch
	}
}

// configurations are our files, the versions of containerd that they are for, and
// the format of the node's own file.
var configurations = []struct {
	name     string
	format   int
	versions []string
	deliver  delivery
}{
	{"config-v2", 2, []string{"1.6.38", "1.7.35"}, appended("containerd/config-v2.toml")},
	{"config-v3", 3, []string{"2.0.0", "2.1.4", "2.2.0", "2.3.0", testenv.Newest}, dropped("containerd/config-v3.toml")},
	{"config-v2 imported by version 2", 2, []string{"2.0.0", "2.1.4", "2.2.0", "2.3.0", testenv.Newest}, dropped("containerd/config-v2.toml")},
	{"k3s config.toml.tmpl", 2, []string{"1.7.35"}, templated("k3s/config.toml.tmpl")},
	{"k3s config-v3.toml.tmpl", 3, []string{"2.0.0", "2.1.4", "2.3.0"}, templated("k3s/config-v3.toml.tmpl")},
	{"k3s drop-in", 3, []string{"2.1.4", "2.3.0"}, dropped("k3s/wazero.toml")},
	{"kind, version 2", 2, []string{"1.7.35", "2.1.4"}, patched(2)},
	{"kind, version 3", 3, []string{"2.1.4", "2.3.0"}, patched(3)},
}

// node is a containerd with the CRI and one of our configurations.
type node struct {
	*testenv.Containerd
	crictl string
}

// start starts a containerd with a configuration and more at its end, and waits for its
// CRI.
func start(t *testing.T, version string, format int, deliver delivery, more string) *node {
	t.Helper()
	n := launch(t, version, format, deliver, more)
	n.Crictl(t).Ready(t)
	return n
}

// launch is start for a configuration that the CRI need not be able to work with.
func launch(t *testing.T, version string, format int, deliver delivery, more string) *node {
	t.Helper()
	n := &node{testenv.StartContainerd(t, version), filepath.Join(testenv.Tool(t, "cri-tools", "1.34.0"), "crictl")}
	n.Stop()
	must(t, os.Mkdir(filepath.Join(n.Dir, "conf.d"), 0o700))
	config := deliver(t, n.Dir, isolated.CRIConfig(n.Dir, format, filepath.Join(n.Dir, "conf.d", "*.toml"))+fmt.Sprintf(base[format], n.Dir))
	must(t, os.WriteFile(filepath.Join(n.Dir, "config.toml"), []byte(config+more), 0o600))
	n.Start(t)
	return n
}

// do runs crictl, which has to succeed.
func (n *node) do(t *testing.T, args ...string) string {
	t.Helper()
	out, err := n.try(args...)
	if err != nil {
		t.Fatalf("crictl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// handler is what the kubelet admits pods by: read-only mounts that are recursive,
// and user namespaces.
type handler struct {
	Name     string
	Features struct {
		RecursiveReadOnlyMounts bool `json:"recursive_read_only_mounts"`
		UserNamespaces          bool `json:"user_namespaces"`
	}
}

func (h *handler) admits() bool {
	return h != nil && h.Features.RecursiveReadOnlyMounts && h.Features.UserNamespaces
}

// info is what the CRI says about the node.
type info struct {
	RuntimeHandlers []handler
	Config          struct {
		Containerd struct {
			Runtimes map[string]struct {
				RuntimeType    string   `json:"runtimeType"`
				PodAnnotations []string `json:"podAnnotations"`
			}
		}
	}
}

// handler is what the CRI tells the kubelet about one; nil when it has none of
// that name.
func (i info) handler(name string) *handler {
	for _, h := range i.RuntimeHandlers {
		if h.Name == name {
			return &h
		}
	}
	return nil
}

func (n *node) info(t *testing.T) (i info) {
	t.Helper()
	must(t, json.Unmarshal([]byte(n.do(t, "info")), &i))
	return i
}

// TestConfigurations: the handler is there, and what was configured before too.
func TestConfigurations(t *testing.T) {
	for _, c := range configurations {
		for _, version := range c.versions {
			t.Run(c.name+", containerd "+version, func(t *testing.T) {
				got := start(t, version, c.format, c.deliver, "").info(t)
				runtimes := got.Config.Containerd.Runtimes
				if r := runtimes["wazero"]; r.RuntimeType != testenv.Runtime || len(r.PodAnnotations) != 4 {
					t.Errorf("the handler is %+v", r)
				}
				if r := runtimes["runc"]; len(r.PodAnnotations) != 1 {
					t.Errorf("the handler runc, configured before, is %+v", r)
				}
				if strings.HasPrefix(version, "1.") {
					return
				}
				h := got.handler("wazero")
				if h == nil {
					t.Fatalf("the CRI has the handlers %+v", got.RuntimeHandlers)
				}
				// Until 2.3 containerd asks only shims of runc's type.
				if want := version == testenv.Newest; h.admits() != want {
					t.Errorf("features of the handler: %+v", h.Features)
				}
			})
		}
	}
}

// TestFeatures: the variant of config-v3.toml with runc's type and a path to our
// shim tells the kubelet the features, with containerd 2.0 to 2.3 too.
func TestFeatures(t *testing.T) {
	for _, version := range []string{"2.0.0", "2.1.4", "2.2.0", "2.3.0", testenv.Newest} {
		t.Run(version, func(t *testing.T) {
			n := start(t, version, 3, func(t *testing.T, _, main string) string {
				t.Helper()
				const ours, path = "\n  runtime_type = \"" + testenv.Runtime + "\"\n", "/usr/local/bin/containerd-shim-wazero-v1"
				config := read(t, "containerd/config-v3.toml")
				if !strings.Contains(config, ours) {
					t.Fatal("config-v3.toml has another type")
				}
				config = strings.Replace(config, ours, "\n", 1)
				for _, key := range []string{"runtime_type", "runtime_path"} {
					if !strings.Contains(config, "\n  # "+key+" = ") {
						t.Fatalf("config-v3.toml has no variant with %s", key)
					}
					config = strings.Replace(config, "\n  # "+key+" = ", "\n  "+key+" = ", 1)
				}
				config = strings.Replace(config, path, filepath.Join(testenv.ShimDir(t), filepath.Base(path)), 1)
				return main + strings.Replace(config, "\nversion = 3\n", "\n", 1)
			}, "")
			if h := n.info(t).handler("wazero"); !h.admits() {
				t.Errorf("the handler is %+v", h)
			}
			n.importPause(t)
			n.pod(t)
		})
	}
}

// TestImportReplaces: why config-v2.toml says that it must not be imported.
func TestImportReplaces(t *testing.T) {
	for _, version := range []string{"1.6.38", "1.7.35"} {
		t.Run(version, func(t *testing.T) {
			n := launch(t, version, 2, dropped("containerd/config-v2.toml"), "")
			config, err := exec.Command(filepath.Join(testenv.Tool(t, "containerd", version), "containerd"),
				"--config", filepath.Join(n.Dir, "config.toml"), "config", "dump").Output()
			must(t, err)
			if !strings.Contains(string(config), testenv.Runtime) || strings.Contains(string(config), "stays.example.com") {
				t.Errorf("imports are merged, so config-v2.toml can be one:\n%s", config)
			}
		})
	}
}

// TestOptions: options in containerd's configuration reach the shim, and one with
// a typing error is in the log by its name. (1.6 sends only ConfigPath.)
func TestOptions(t *testing.T) {
	const options = `
[plugins.'%s'.containerd.runtimes.wazero.options]
  SystemdCgroup = false
  cache_sise = "1GiB"
`
	for version, c := range map[string]struct {
		format  int
		plugin  string
		deliver delivery
	}{
		"1.7.35":       {2, "io.containerd.grpc.v1.cri", appended("containerd/config-v2.toml")},
		testenv.Newest: {3, "io.containerd.cri.v1.runtime", templated("k3s/config-v3.toml.tmpl")},
	} {
		t.Run(version, func(t *testing.T) {
			n := start(t, version, c.format, c.deliver, fmt.Sprintf(options, c.plugin))
			n.importPause(t)
			n.pod(t)
			testenv.Eventually(t, "name of an unknown option in containerd's log", func() error {
				if log := n.Log(); !strings.Contains(log, "unknown runtime option cache_sise") {
					return fmt.Errorf("the log is\n%s", log)
				}
				return nil
			})
		})
	}
}

func (n *node) importPause(t *testing.T) {
	t.Helper()
	n.importImage(t, testenv.Image{
		Name:   pauseImage,
		Files:  map[string]testenv.File{"/pause": {Data: guests.Build(t, "pause", testenv.Native)}},
		Config: v1.ImageConfig{Entrypoint: []string{"/pause"}},
	})
}

func (n *node) importImage(t *testing.T, img testenv.Image) {
	t.Helper()
	archive := filepath.Join(t.TempDir(), "image.tar")
	must(t, img.WriteArchive(archive))
	n.Ctr(t, "--namespace", "k8s.io", "images", "import", archive)
}

// object is JSON for crictl.
type object = map[string]any

// pod runs a pod in the host's network, and returns its id and the file with its
// configuration.
func (n *node) pod(t *testing.T) (id, config string) {
	t.Helper()
	config = n.sandboxConfig(t)
	id = n.do(t, "runp", "--runtime", "wazero", config)
	t.Cleanup(func() { n.do(t, "rmp", "--force", id) })
	return id, config
}

// sandboxConfig is the file with the configuration of a pod.
func (n *node) sandboxConfig(t *testing.T) string {
	t.Helper()
	return n.json(t, "pod.json", object{
		"metadata":      object{"name": "pod", "namespace": "default", "uid": "uid", "attempt": 0},
		"log_directory": t.TempDir(),
		"linux": object{
			"cgroup_parent":    "/" + n.Namespace,
			"security_context": object{"namespace_options": object{"network": 2, "pid": 1, "ipc": 0}},
		},
	})
}

func (n *node) json(t *testing.T, name string, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	must(t, err)
	path := filepath.Join(t.TempDir(), name)
	must(t, os.WriteFile(path, data, 0o600))
	return path
}
