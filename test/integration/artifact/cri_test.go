package artifact

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/isolated"
	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// How the CRI plugin is configured in both versions of the format, without runtimes.
// Pods are in the host's network, so that they need no plugins.
const (
	criVersion2 = `[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "%[2]s"
  restrict_oom_score_adj = true # where CAP_SYS_RESOURCE is missing nothing may lower it
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "%[1]s/hosts"
  [plugins."io.containerd.grpc.v1.cri".cni]
    conf_dir = "%[1]s/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "wazero"
`
	criVersion3 = `[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "%[2]s"
[plugins."io.containerd.cri.v1.images".registry]
  config_path = "%[1]s/hosts"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    conf_dir = "%[1]s/cni"
  [plugins."io.containerd.cri.v1.runtime".containerd]
    default_runtime_name = "wazero"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.sandboxed]
      runtime_type = "io.containerd.wazero.v1"
      sandboxer = "shim"
`
)

// documented is the part of the configuration that docs/annotations.md has for a
// version of the format.
func documented(t *testing.T, version int) string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(testenv.Root(), "docs", "annotations.md"))
	must(t, err)
	_, rest, found := strings.Cut(string(page), fmt.Sprintf("Configuration version %d", version))
	_, rest, foundBegin := strings.Cut(rest, "```toml\n")
	block, _, foundEnd := strings.Cut(rest, "```\n")
	if !found || !foundBegin || !foundEnd {
		t.Fatalf("docs/annotations.md has nothing for version %d", version)
	}
	return block
}

// kubelet is a node with the CRI, driven by crictl.
type kubelet struct {
	*node
	crictl *testenv.Crictl
	pods   int
}

func startCRI(t *testing.T, version string) *kubelet {
	t.Helper()
	k := &kubelet{node: start(t, version)}
	k.crictl = k.Crictl(t)
	base, diff := files(t, "pause", guests.Build(t, "pause", testenv.Native))
	pause := k.registry.tag("pause", k.registry.picture(t, picture{
		v1.MediaTypeImageConfig, ociConfig(here(), v1.ImageConfig{Entrypoint: []string{"/pause"}}, diff), []layer{base},
	}))
	k.Stop()
	format, plugin := 2, criVersion2
	if version == testenv.Newest {
		format, plugin = 3, criVersion3
	}
	config := isolated.CRIConfig(k.Dir, format) + fmt.Sprintf(plugin, k.Dir, pause) + documented(t, format)
	must(t, os.WriteFile(filepath.Join(k.Dir, "config.toml"), []byte(config), 0o600))
	k.Start(t)
	k.crictl.Ready(t)
	return k
}

func (k *kubelet) try(args ...string) (string, error) { return k.crictl.Try(args...) }

func (k *kubelet) do(t *testing.T, args ...string) string {
	t.Helper()
	return k.crictl.Do(t, args...)
}

// file writes JSON for crictl.
func (k *kubelet) file(t *testing.T, name string, v any) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	must(t, os.WriteFile(path, encode(t, v), 0o600))
	return path
}

// pod is a sandbox, removed with all in it when the test ends.
type pod struct {
	*kubelet
	id, config string
}

func (k *kubelet) pod(t *testing.T, annotations map[string]string) *pod {
	t.Helper()
	return k.podOf(t, "wazero", annotations)
}

func (k *kubelet) podOf(t *testing.T, handler string, annotations map[string]string) *pod {
	t.Helper()
	k.pods++
	config := k.file(t, "pod.json", object{
		"metadata":      object{"name": fmt.Sprint("pod", k.pods), "namespace": "default", "uid": fmt.Sprint("uid", k.pods), "attempt": 0},
		"log_directory": t.TempDir(), "annotations": annotations,
		"linux": object{
			"cgroup_parent":    "/" + k.Namespace,
			"security_context": object{"namespace_options": object{"network": 2, "pid": 1, "ipc": 0}},
		},
	})
	p := &pod{k, k.do(t, "runp", "--runtime", handler, config), config}
	t.Cleanup(func() {
		if _, err := k.try("rmp", "--force", p.id); err != nil {
			t.Error(err)
		}
	})
	return p
}

// create makes a container and starts it.
func (p *pod) create(t *testing.T, name, image string, command ...string) (string, error) {
	t.Helper()
	config := p.file(t, "container.json", object{
		"metadata": object{"name": name}, "image": object{"image": image, "user_specified_image": image},
		"command": command, "log_path": name + ".log", "linux": object{},
	})
	id, err := p.try("create", "--no-pull", p.id, config, p.config)
	if err == nil {
		_, err = p.try("start", id)
	}
	return id, err
}

// run runs a container to its end and returns its log.
func (p *pod) run(t *testing.T, name, image string, command ...string) (string, int) {
	t.Helper()
	id, err := p.create(t, name, image, command...)
	must(t, err)
	var inspect struct {
		Status struct {
			State    string
			ExitCode int
			Reason   string
		}
	}
	testenv.Eventually(t, "end of "+name, func() error {
		must(t, json.Unmarshal([]byte(p.do(t, "inspect", id)), &inspect))
		if inspect.Status.State != "CONTAINER_EXITED" {
			return fmt.Errorf("it is %s", inspect.Status.State)
		}
		return nil
	})
	return p.do(t, "logs", id), inspect.Status.ExitCode
}

// TestCRI pulls with the CRI and runs every kind of image in a pod.
func TestCRI(t *testing.T) {
	for _, version := range versions() {
		t.Run(version, func(t *testing.T) {
			k := startCRI(t, version)
			p := k.pod(t, nil)
			for _, s := range shapes(t) {
				t.Run(s.name, func(t *testing.T) {
					image := k.registry.tag(s.name, k.registry.picture(t, s.picture))
					k.do(t, "pull", image)
					// Kubernetes wants a command of its own for an image that has none.
					if out, status := p.run(t, s.name, image, "/", "echo", "hello from", s.name); out != "hello from "+s.name || status != 0 {
						t.Errorf("%q, %d", out, status)
					}
					if s.picture.ordinary() {
						if out, _ := p.run(t, s.name+"-own", image); !strings.Contains(out, "multi: no command") {
							t.Errorf("with its own command: %q", out)
						}
						return
					}
					if _, err := p.create(t, s.name+"-none", image); err == nil || !strings.Contains(err.Error(), "no command specified") {
						t.Errorf("without a command: %v", err)
					}
				})
			}
			t.Run("wrong", func(t *testing.T) {
				image := k.registry.tag("component", k.registry.picture(t, cncf([]byte(component))))
				k.do(t, "pull", image)
				if _, err := p.create(t, "wrong", image, "/"); err == nil || !strings.Contains(err.Error(), "is a Wasm component") {
					t.Errorf("got %v", err)
				}
			})
			t.Run("without a sandbox container", func(t *testing.T) {
				if version != testenv.Newest {
					t.Skip("containerd 2.1 has that first")
				}
				p := k.podOf(t, "sandboxed", nil)
				image := k.registry.tag("sandboxed", k.registry.picture(t, cncf(multi(t))))
				k.do(t, "pull", image)
				if out, status := p.run(t, "sandboxed", image, "/", "echo", "hello"); out != "hello" || status != 0 {
					t.Errorf("%q, %d", out, status)
				}
			})
			t.Run("exec", func(t *testing.T) {
				image := k.registry.tag("exec", k.registry.picture(t, cncf(multi(t))))
				k.do(t, "pull", image)
				id, err := p.create(t, "exec", image, "/", "sleep")
				must(t, err)
				for range 2 {
					if out, err := k.try("exec", "--sync", id, "/", "echo", "again"); err != nil || out != "again" {
						t.Errorf("%q, %v", out, err)
					}
					if _, err := k.try("exec", "--sync", id, "/", "exit", "3"); err == nil || !strings.Contains(err.Error(), "3") {
						t.Errorf("exit status 3: %v", err)
					}
					if _, err := k.try("exec", "--sync", id, "ls"); err == nil || !strings.Contains(err.Error(), "no such file or directory") {
						t.Errorf("ls: %v", err)
					}
					k.Kill() // the shim holds no connection to it
					k.Start(t)
					k.crictl.Ready(t)
				}
			})
			t.Run("index", func(t *testing.T) {
				m := multi(t)
				image := k.registry.tag("index", k.registry.index(t,
					forPlatform("linux/s390x", k.registry.picture(t, cncf([]byte(component)))),
					forPlatform("wasip1/wasm", k.registry.picture(t, cncf([]byte(component)))),
					forPlatform(here(), k.registry.picture(t, raw("/x", layer{cncfLayer, "", m})))))
				k.do(t, "pull", image)
				if out, status := p.run(t, "index", image, "/", "echo", "hi"); out != "hi" || status != 0 {
					t.Errorf("%q, %d", out, status)
				}
				// Kubernetes cannot choose a platform.
				image = k.registry.tag("only", k.registry.index(t, forPlatform("wasip1/wasm", k.registry.picture(t, cncf(m)))))
				if _, err := k.try("pull", image); err == nil || !strings.Contains(err.Error(), "no match for platform in manifest") {
					t.Errorf("got %v", err)
				}
			})
			t.Run("same configuration", func(t *testing.T) {
				m := multi(t)
				one := picture{v1.MediaTypeEmptyJSON, object{"x": "same"}, []layer{{cncfLayer, "one", m}}}
				two := picture{v1.MediaTypeEmptyJSON, object{"x": "same"}, []layer{{cncfLayer, "two", append(append([]byte(nil), m...), 0, 2, 1, 'x')}}}
				images := []string{k.registry.tag("one", k.registry.picture(t, one)), k.registry.tag("two", k.registry.picture(t, two))}
				for _, image := range images {
					k.do(t, "pull", image)
				}
				// The first one comes first in containerd's list. What newer versions
				// call the image is what the pod does.
				if version == testenv.Newest {
					if out, status := p.run(t, "two", images[1], "/", "echo", "hi"); out != "hi" || status != 0 {
						t.Errorf("%q, %d", out, status)
					}
					k.awaitLog(t, "module=two")
				} else if _, err := p.create(t, "two", images[1], "/"); err == nil || !strings.Contains(err.Error(), "has the same configuration") {
					t.Errorf("got %v", err)
				}
				if _, err := p.create(t, "one", images[0], "/"); err == nil || !strings.Contains(err.Error(), "has the same configuration") {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

// TestPodAnnotations: those of the pod reach its containers, and can be for one of
// them.
func TestPodAnnotations(t *testing.T) {
	for _, version := range versions() {
		t.Run(version, func(t *testing.T) {
			k := startCRI(t, version)
			image := k.registry.tag("app", k.registry.picture(t, cncf(multi(t))))
			k.do(t, "pull", image)
			const prefix = "io.containerd.wazero.v1."
			for name, c := range map[string]struct {
				annotations map[string]string
				status      map[string]int // by container
				err         string
			}{
				"all":       {map[string]string{prefix + "memory-limit": "64Mi"}, map[string]int{"a": 137, "b": 137}, ""},
				"one":       {map[string]string{prefix + "memory-limit/a": "64Mi"}, map[string]int{"a": 137, "b": 0}, ""},
				"exception": {map[string]string{prefix + "memory-limit/a": "500Mi", prefix + "memory-limit": "64Mi"}, map[string]int{"a": 0, "b": 137}, ""},
				"unknown":   {map[string]string{prefix + "memory": "64Mi"}, map[string]int{"a": 0}, `annotation "io.containerd.wazero.v1.memory"`},
				"value":     {map[string]string{prefix + "private-code": "yes"}, map[string]int{"a": 0}, `annotation io.containerd.wazero.v1.private-code="yes": want "true" or "false"`},
				"crun":      {map[string]string{"run.oci.handler": "wasm"}, map[string]int{"a": 0}, ""},
				"crun's":    {map[string]string{"run.oci.handler": "krun"}, map[string]int{"a": 0}, `annotation run.oci.handler="krun"`},
				"others'":   {map[string]string{"example.com/x": "y"}, map[string]int{"a": 0}, ""},
			} {
				t.Run(name, func(t *testing.T) {
					p := k.pod(t, c.annotations)
					for container, want := range c.status {
						if c.err != "" {
							if _, err := p.create(t, container, image, "/", "alloc", "100"); err == nil || !strings.Contains(err.Error(), c.err) {
								t.Errorf("%s: %v", container, err)
							}
							continue
						}
						if out, status := p.run(t, container, image, "/", "alloc", "100"); status != want {
							t.Errorf("%s: status %d, %q", container, status, out)
						}
					}
				})
			}
		})
	}
}
