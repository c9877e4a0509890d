package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// TestMessages: what containerd and the shim really say when something is wrong
// is what docs/kubernetes.md explains.
func TestMessages(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(testenv.Root(), "docs", "kubernetes.md"))
	must(t, err)
	docs := string(data)

	const missing = `
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.elsewhere]
  runtime_type = "io.containerd.elsewhere.v1"
`
	n := start(t, testenv.Newest, 3, dropped("containerd/config-v3.toml"), missing)
	n.importPause(t)
	img := guests.Multi(t, testenv.Wasm)
	n.importImage(t, img)
	component := testenv.Image{
		Name:   "test.local/component:1",
		Files:  map[string]testenv.File{"/app.wasm": {Data: []byte("\x00asm\x0d\x00\x01\x00 and more")}},
		Config: v1.ImageConfig{Entrypoint: []string{"/app.wasm"}},
	}
	n.importImage(t, component)
	sandbox := n.sandboxConfig(t)
	pod := func(t *testing.T, handler string) string {
		t.Helper()
		id := n.do(t, "runp", "--runtime", handler, sandbox)
		t.Cleanup(func() { n.do(t, "rmp", "--force", id) })
		return id
	}
	// run starts a container and a program in it, and returns what crictl says to
	// that and what the container's log has.
	run := func(t *testing.T, pod, image string, args ...string) string {
		t.Helper()
		c := object{"metadata": object{"name": "c"}, "image": object{"image": image, "user_specified_image": image}, "log_path": "c.log", "linux": object{}}
		if len(args) > 0 {
			c["command"] = args
		}
		id := n.do(t, "create", "--no-pull", pod, n.json(t, "container.json", c), sandbox)
		out, err := n.try("start", id)
		if err != nil {
			return out
		}
		out, _ = n.try("exec", "--sync", id, "/bin/sh")
		log, _ := n.try("logs", id)
		return out + "\n" + log
	}

	for name, c := range map[string]struct {
		said func(t *testing.T) string
		want string
	}{
		"no handler": {func(t *testing.T) string { out, _ := n.try("runp", "--runtime", "other", sandbox); return out },
			`no runtime for "wazero" is configured`},
		"no binary": {func(t *testing.T) string { out, _ := n.try("runp", "--runtime", "elsewhere", sandbox); return out },
			`binary not installed "containerd-shim-wazero-v1": file does not exist`},
		"runc": {func(t *testing.T) string { return run(t, pod(t, "runc"), img.Name) },
			"exec format error"},
		"component": {func(t *testing.T) string { return run(t, pod(t, "wazero"), component.Name) },
			"is a Wasm component, which this runtime cannot run"},
		"no file": {func(t *testing.T) string { return run(t, pod(t, "wazero"), img.Name, "/missing") },
			"no such file or directory"},
		"not in PATH": {func(t *testing.T) string { return run(t, pod(t, "wazero"), img.Name, "missing") },
			"executable file not found in $PATH"},
	} {
		t.Run(name, func(t *testing.T) {
			said := strings.ReplaceAll(c.said(t), `\"`, `"`) // crictl quotes what containerd says
			said = strings.NewReplacer("elsewhere", "wazero", `"other"`, `"wazero"`).Replace(said)
			if !strings.Contains(said, c.want) {
				t.Errorf("it says %s", said)
			}
			if !strings.Contains(docs, "`"+c.want) && !strings.Contains(docs, c.want+"`") {
				t.Errorf("docs/kubernetes.md does not explain %q", c.want)
			}
		})
	}
	t.Run("exec", func(t *testing.T) {
		p := pod(t, "wazero")
		native := "it is a native program and this is a Wasm container"
		both := img
		both.Name = "test.local/both:1"
		both.Files = map[string]testenv.File{"/multi.wasm": img.Files["/multi.wasm"], "/bin/sh": {Data: guests.Build(t, "multi", testenv.Native)}}
		n.importImage(t, both)
		if said := run(t, p, both.Name, "/multi.wasm", "sleep"); !strings.Contains(said, native) || !strings.Contains(docs, native) {
			t.Errorf("it says %s", said)
		}
	})
}

// try runs crictl and returns all its output.
func (n *node) try(args ...string) (string, error) {
	cmd := exec.Command(n.crictl, append([]string{"--config", "/dev/null", "--runtime-endpoint", "unix://" + n.Address(), "--timeout", "60s"}, args...)...)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}
