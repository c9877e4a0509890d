package artifact

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// host is the registry's name in images. It exists only in containerd's hosts.toml.
const host = "registry.test"

// registry serves images over HTTP on loopback: manifests and blobs, for pulling
// only (OCI distribution specification, "Pull").
type registry struct {
	address string

	mu    sync.Mutex
	blobs map[digest.Digest][]byte
	types map[digest.Digest]string // of manifests
	tags  map[string]digest.Digest // "name:tag"
}

func serve(t *testing.T) *registry {
	t.Helper()
	r := &registry{blobs: map[digest.Digest][]byte{}, types: map[digest.Digest]string{}, tags: map[string]digest.Digest{}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	r.address = l.Addr().String()
	server := &http.Server{Handler: r}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	t.Cleanup(func() { server.Close(); <-done })
	return r
}

// hosts writes the directory in which containerd looks for how to reach registries.
func (r *registry) hosts(t *testing.T, dir string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Join(dir, host), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, host, "hosts.toml"), fmt.Appendf(nil,
		"server = \"http://%[1]s\"\n[host.\"http://%[1]s\"]\n  capabilities = [\"pull\", \"resolve\"]\n", r.address), 0o600))
}

func (r *registry) put(mediaType string, data []byte) v1.Descriptor {
	d := digest.FromBytes(data)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.blobs[d] = data
	return v1.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))}
}

// tag names a manifest or an index, and returns the full name.
func (r *registry) tag(name string, d v1.Descriptor) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tags[name+":1"] = d.Digest
	return host + "/" + name + ":1"
}

// manifest makes d one that is served by its digest.
func (r *registry) manifest(d v1.Descriptor) v1.Descriptor {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.types[d.Digest] = d.MediaType
	return d
}

func (r *registry) ServeHTTP(w http.ResponseWriter, request *http.Request) {
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

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
