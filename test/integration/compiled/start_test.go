package compiled

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/pkg/oci"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// start is what the shim's log says of one started module.
type start map[string]string

var field = regexp.MustCompile(`(\w+)=("[^"]*"|\S+)`)

// starts reads the shim's lines about started modules from containerd's log, by
// container id.
func starts(c *testenv.Containerd) map[string]start {
	all := map[string]start{}
	for line := range strings.Lines(c.Log()) {
		if !strings.Contains(line, `msg="module started"`) {
			continue
		}
		s := start{}
		for _, m := range field.FindAllStringSubmatch(line, -1) {
			s[m[1]] = strings.Trim(m[2], `"`)
		}
		all[s["id"]] = s
	}
	return all
}

// started waits for the line about a container.
func started(t *testing.T, c *testenv.Containerd, id string) start {
	t.Helper()
	var s start
	testenv.Eventually(t, "line about the start of "+id, func() error {
		var ok bool
		if s, ok = starts(c)[id]; !ok {
			return fmt.Errorf("containerd's log has none")
		}
		return nil
	})
	return s
}

// count tells how often each outcome was logged.
func count(all map[string]start) map[string]int {
	n := map[string]int{}
	for _, s := range all {
		n[s["outcome"]]++
	}
	return n
}

// module is an image of one module.
func module(name string, data []byte, args ...string) testenv.Image {
	path := "/" + name + ".wasm"
	return testenv.Image{
		Name:   "test.local/" + name + ":1",
		Files:  map[string]testenv.File{path: {Data: data}},
		Config: v1.ImageConfig{Entrypoint: append([]string{path}, args...)},
	}
}

// published is a program that others have published.
func published(t *testing.T, tool, version, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(testenv.Tool(t, tool, version), file))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func cpython(t *testing.T) []byte { return published(t, "python", "3.12.0", "dist/python.wasm") }
func esbuild(t *testing.T) []byte { return published(t, "esbuild", "0.27.2", "esbuild.wasm") }

// pod puts a container into the shim of a pod.
func pod(id string) oci.SpecOpts {
	return oci.WithAnnotations(map[string]string{"io.kubernetes.cri.sandbox-id": id})
}

// entries lists the files of compiled code in a cache.
func entries(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "entries", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// entry is the only one.
func entry(t *testing.T, dir string) string {
	t.Helper()
	all := entries(t, dir)
	if len(all) != 1 {
		t.Fatalf("the cache has %d entries: %q", len(all), all)
	}
	return all[0]
}

// mounted binds a directory into the container.
func mounted(source, target string) oci.SpecOpts {
	return oci.WithMounts([]specs.Mount{{Type: "bind", Source: source, Destination: target, Options: []string{"rbind", "rw"}}})
}
