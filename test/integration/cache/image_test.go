package cache

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// layers is an image with several layers, packed as builders pack them.
type layers struct {
	platform string // "linux/amd64"
	all      []layer
	entry    string // its entrypoint
}

// layer has files by path, deletions among them (".wh.x").
type layer struct {
	packing string // "", "gzip", "zstd", or "wasm" for a layer that is a module
	files   map[string]string
	order   []string
}

// archive writes an index of images under one name, as ctr imports it.
func archive(t *testing.T, name string, images ...layers) string {
	t.Helper()
	blobs := map[string][]byte{}
	blob := func(mediaType string, data []byte) v1.Descriptor {
		d := digest.FromBytes(data)
		blobs["blobs/sha256/"+d.Encoded()] = data
		return v1.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))}
	}
	encode := func(v any) []byte {
		data, err := json.Marshal(v)
		must(t, err)
		return data
	}
	inner := v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex}
	for _, img := range images {
		osName, arch, _ := strings.Cut(img.platform, "/")
		p := v1.Platform{OS: osName, Architecture: arch}
		config := v1.Image{Platform: p, Config: v1.ImageConfig{Entrypoint: []string{img.entry}}, RootFS: v1.RootFS{Type: "layers"}}
		manifest := v1.Manifest{Versioned: inner.Versioned, MediaType: v1.MediaTypeImageManifest}
		for _, l := range img.all {
			mediaType, plain, packed := l.pack(t)
			config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest.FromBytes(plain))
			manifest.Layers = append(manifest.Layers, blob(mediaType, packed))
		}
		manifest.Config = blob(v1.MediaTypeImageConfig, encode(config))
		d := blob(v1.MediaTypeImageManifest, encode(manifest))
		d.Platform = &p
		inner.Manifests = append(inner.Manifests, d)
	}
	d := blob(v1.MediaTypeImageIndex, encode(inner))
	d.Annotations = map[string]string{"io.containerd.image.name": name}
	outer := v1.Index{Versioned: inner.Versioned, MediaType: v1.MediaTypeImageIndex, Manifests: []v1.Descriptor{d}}
	blobs[v1.ImageIndexFile] = encode(outer)
	blobs[v1.ImageLayoutFile] = encode(v1.ImageLayout{Version: v1.ImageLayoutVersion})

	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for path, data := range blobs {
		must(t, w.WriteHeader(&tar.Header{Name: path, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(data))}))
		_, err := w.Write(data)
		must(t, err)
	}
	must(t, w.Close())
	path := filepath.Join(t.TempDir(), "image.tar")
	must(t, os.WriteFile(path, out.Bytes(), 0o600))
	return path
}

// pack returns the layer as a registry has it.
func (l layer) pack(t *testing.T) (mediaType string, plain, packed []byte) {
	t.Helper()
	if l.packing == "wasm" {
		data := []byte(l.files["/"])
		return "application/wasm", data, data
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, path := range l.order {
		must(t, w.WriteHeader(&tar.Header{Name: path[1:], Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(l.files[path]))}))
		_, err := w.Write([]byte(l.files[path]))
		must(t, err)
	}
	must(t, w.Close())
	switch l.packing {
	case "gzip":
		var z bytes.Buffer
		g := gzip.NewWriter(&z)
		_, err := g.Write(b.Bytes())
		must(t, err)
		must(t, g.Close())
		return v1.MediaTypeImageLayerGzip, b.Bytes(), z.Bytes()
	case "zstd":
		z, err := zstd.NewWriter(nil)
		must(t, err)
		return v1.MediaTypeImageLayerZstd, b.Bytes(), z.EncodeAll(b.Bytes(), nil)
	}
	return v1.MediaTypeImageLayer, b.Bytes(), b.Bytes()
}

// files makes a layer of paths and contents, one after the other.
func files(packing string, pairs ...string) layer {
	l := layer{packing: packing, files: map[string]string{}}
	for i := 0; i < len(pairs); i += 2 {
		l.files[pairs[i]] = pairs[i+1]
		l.order = append(l.order, pairs[i])
	}
	return l
}

// variant is a module that does what another one does and has a digest of its own.
func variant(module []byte, name string) string {
	section := append([]byte{byte(len(name))}, name...)
	return string(module) + string(append([]byte{0, byte(len(section))}, section...)) // a custom section
}

func sum(module string) string { return digest.FromString(module).Encoded() }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
