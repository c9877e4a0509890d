package deploy

import (
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// sampleImages are images under the names in samples/, which are there for users
// to replace.
func sampleImages(t *testing.T) []testenv.Image {
	t.Helper()
	writer := guests.Multi(t, testenv.Wasm)
	writer.Name = "example.com/writer-wasm:1"
	writer.Config.Cmd = []string{"answer", "/data"}
	return []testenv.Image{
		{
			Name:   testenv.PauseImage,
			Files:  map[string]testenv.File{"/pause": {Data: guests.Build(t, "pause", testenv.Native)}},
			Config: v1.ImageConfig{Entrypoint: []string{"/pause"}},
		},
		{
			Name:   "example.com/hello-go:1",
			Files:  map[string]testenv.File{"/hello.wasm": {Data: testenv.Example(t, "hello-go")}},
			Config: v1.ImageConfig{Entrypoint: []string{"/hello.wasm"}},
		},
		writer,
		// It listens on port 8080, as the sample's httpd does.
		{Name: "example.com/busybox:1", Files: map[string]testenv.File{"/bin/httpd": {Data: guests.Build(t, "server", testenv.Native)}}},
	}
}

// TestSamples applies what deploy/ has for kubectl, as its comments say. First the
// server alone has to accept it; then the objects run.
func TestSamples(t *testing.T) {
	k := testenv.StartCluster(t, sampleImages(t)...)
	// The cluster comes with a class of that name.
	k.Kubectl(t, "delete", "runtimeclass", "wazero")
	k.Kubectl(t, "apply", "-f", file("runtimeclass.yaml"))

	samples, err := filepath.Glob(file("samples/*.yaml"))
	must(t, err)
	if len(samples) != 4 {
		t.Fatalf("samples are %q", samples)
	}
	for _, sample := range samples {
		out := k.Kubectl(t, "apply", "--dry-run=server", "--validate=strict", "-f", sample)
		if !strings.Contains(out, "created (server dry run)") {
			t.Errorf("%s: %s", sample, out)
		}
	}
	apply := func(t *testing.T, name string) {
		t.Helper()
		k.Kubectl(t, "apply", "-f", file("samples/"+name+".yaml"))
		t.Cleanup(func() {
			k.Kubectl(t, "delete", "--wait", "--cascade=foreground", "--timeout=60s", "-f", file("samples/"+name+".yaml"))
		})
	}
	const hello = "Hello from Go, built for wasip1/wasm\n"
	t.Run("pod", func(t *testing.T) {
		apply(t, "pod")
		k.Kubectl(t, "wait", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s", "pod/hello-wasm")
		if got := k.Kubectl(t, "logs", "hello-wasm"); got != hello {
			t.Errorf("the pod's log is %q", got)
		}
		// The API server has taken the overhead over from the class.
		if got := k.Kubectl(t, "get", "pod", "hello-wasm", "-o", "jsonpath={.spec.overhead.memory}"); got == "" {
			t.Error("the pod has no overhead")
		}
	})
	t.Run("deployment", func(t *testing.T) {
		apply(t, "deployment")
		k.Kubectl(t, "rollout", "status", "deployment/wasm-with-sidecar", "--timeout=90s")
	})
	t.Run("job", func(t *testing.T) {
		apply(t, "job")
		k.Kubectl(t, "wait", "--for=condition=Complete", "--timeout=60s", "job/wasm-job")
		if got := k.Kubectl(t, "logs", "job/wasm-job"); got != hello {
			t.Errorf("the job's log is %q", got)
		}
	})
	t.Run("cronjob", func(t *testing.T) {
		apply(t, "cronjob")
		k.Kubectl(t, "create", "job", "now", "--from=cronjob/wasm-cronjob")
		t.Cleanup(func() { k.Kubectl(t, "delete", "--wait", "--cascade=foreground", "--ignore-not-found", "job/now") })
		k.Kubectl(t, "wait", "--for=condition=Complete", "--timeout=60s", "job/now")
	})
}
