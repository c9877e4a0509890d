package testenv

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// Registry serves images over HTTP on loopback: manifests and blobs, for pulling
// only (OCI distribution specification, "Pull"). It answers for every host that
// containerd is told of in hosts.toml.
type Registry struct {
	Address string

	mu    sync.Mutex
	blobs map[digest.Digest][]byte
	types map[digest.Digest]string // of manifests
	tags  map[string]digest.Digest // "name:tag"
}

// ServeRegistry starts a registry that ends with the test.
func ServeRegistry(t testing.TB) *Registry {
	t.Helper()
	r := &Registry{blobs: map[digest.Digest][]byte{}, types: map[digest.Digest]string{}, tags: map[string]digest.Digest{}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.Address = l.Addr().String()
	server := &http.Server{Handler: r}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	t.Cleanup(func() { server.Close(); <-done })
	return r
}

// Hosts writes the directory in which containerd looks for how to reach
// registries: all these hosts are this one.
func (r *Registry) Hosts(t testing.TB, dir string, hosts ...string) {
	t.Helper()
	for _, host := range hosts {
		if err := os.MkdirAll(filepath.Join(dir, host), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, host, "hosts.toml"), fmt.Appendf(nil,
			"server = \"http://%[1]s\"\n[host.\"http://%[1]s\"]\n  capabilities = [\"pull\", \"resolve\"]\n", r.Address), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// Put stores a blob.
func (r *Registry) Put(mediaType string, data []byte) v1.Descriptor {
	d := digest.FromBytes(data)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.blobs[d] = data
	return v1.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))}
}

// Manifest makes d one that is served by its digest.
func (r *Registry) Manifest(d v1.Descriptor) v1.Descriptor {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.types[d.Digest] = d.MediaType
	return d
}

// Tag gives a manifest or an index a full name, as "registry.test/name:tag".
func (r *Registry) Tag(name string, d v1.Descriptor) {
	_, path, _ := strings.Cut(name, "/")
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tags[path] = d.Digest
}

// Push stores an image under its name.
func (r *Registry) Push(t testing.TB, img Image) {
	t.Helper()
	blobs, manifest, err := img.Blobs()
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range blobs {
		r.Put("", data)
	}
	r.Tag(img.Name, r.Manifest(manifest))
}

// PushModule stores a module as the CNCF's Wasm artifact, and returns its name.
func (r *Registry) PushModule(t testing.TB, name string, module []byte) string {
	t.Helper()
	layer := r.Put("application/wasm", module)
	config, err := json.Marshal(map[string]any{
		"created": "2026-01-01T00:00:00Z", "architecture": "wasm", "os": "wasip1", "layerDigests": []digest.Digest{layer.Digest},
	})
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := json.Marshal(v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: v1.MediaTypeImageManifest,
		Config:    r.Put("application/vnd.wasm.config.v0+json", config),
		Layers:    []v1.Descriptor{layer},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Tag(name, r.Manifest(r.Put(v1.MediaTypeImageManifest, manifest)))
	return name
}

func (r *Registry) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	path := strings.TrimPrefix(request.URL.Path, "/v2/")
	if path == "" {
		return
	}
	name, rest, _ := cutLast(path, "/manifests/")
	kind := "manifests"
	if rest == "" {
		name, rest, _ = cutLast(path, "/blobs/")
		kind = "blobs"
	}
	r.mu.Lock()
	d := digest.Digest(rest)
	if tagged, ok := r.tags[name+":"+rest]; ok && kind == "manifests" {
		d = tagged
	}
	data, ok := r.blobs[d]
	mediaType := r.types[d]
	r.mu.Unlock()
	if !ok || kind == "manifests" && mediaType == "" {
		http.Error(w, `{"errors":[{"code":"NAME_UNKNOWN"}]}`, http.StatusNotFound)
		return
	}
	if mediaType == "" || kind == "blobs" {
		mediaType = "application/octet-stream"
	}
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Docker-Content-Digest", d.String())
	w.Header().Set("Content-Length", fmt.Sprint(len(data)))
	if request.Method != http.MethodHead {
		_, _ = w.Write(data)
	}
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
