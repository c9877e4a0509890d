package artifact

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// Media types that tools write: reference "Packaging" of docs/images.md.
const (
	cncfConfig = "application/vnd.wasm.config.v0+json"
	cncfLayer  = "application/wasm"
)

// layer is a blob with its type; title is its file's name, if it has one.
type layer struct {
	mediaType, title string
	data             []byte
}

// object is JSON.
type object = map[string]any

// picture is an image: a configuration and layers.
type picture struct {
	configType string
	config     any
	layers     []layer
}

// cncf is the CNCF's artifact.
func cncf(module []byte) picture {
	return picture{cncfConfig, object{
		"created": "2026-01-01T00:00:00Z", "architecture": "wasm", "os": "wasip1",
		"layerDigests": []string{digest.FromBytes(module).String()}, "component": nil,
	}, []layer{{cncfLayer, "", module}}}
}

// ociConfig is the configuration of an ordinary image, without a file system unless
// there are diffs.
func ociConfig(platform string, c v1.ImageConfig, diffs ...digest.Digest) v1.Image {
	osName, arch, _ := strings.Cut(platform, "/")
	return v1.Image{
		Platform: v1.Platform{OS: osName, Architecture: arch}, Config: c,
		RootFS: v1.RootFS{Type: "layers", DiffIDs: diffs},
	}
}

// raw is an ordinary image with raw layers.
func raw(command string, layers ...layer) picture {
	return picture{v1.MediaTypeImageConfig, ociConfig("wasi/wasm", v1.ImageConfig{Entrypoint: []string{command}}), layers}
}

func (r *registry) picture(t *testing.T, p picture) v1.Descriptor {
	t.Helper()
	m := v1.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest, Layers: []v1.Descriptor{}}
	m.Config = r.Put(p.configType, encode(t, p.config))
	for _, l := range p.layers {
		d := r.Put(l.mediaType, l.data)
		if l.title != "" {
			d.Annotations = map[string]string{v1.AnnotationTitle: l.title}
		}
		m.Layers = append(m.Layers, d)
	}
	return r.Manifest(r.Put(v1.MediaTypeImageManifest, encode(t, m)))
}

// index makes an index of pictures by platform, in the order of pairs.
func (r *registry) index(t *testing.T, entries ...v1.Descriptor) v1.Descriptor {
	t.Helper()
	i := v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex, Manifests: entries}
	return r.Manifest(r.Put(v1.MediaTypeImageIndex, encode(t, i)))
}

// forPlatform adds what an index says of a manifest.
func forPlatform(platform string, d v1.Descriptor) v1.Descriptor {
	osName, arch, _ := strings.Cut(platform, "/")
	d.Platform = &v1.Platform{OS: osName, Architecture: arch}
	return d
}

func here() string { return "linux/" + runtime.GOARCH }

// files is an ordinary layer, gzipped; the digest is that of what is in it.
func files(t *testing.T, pairs ...any) (layer, digest.Digest) {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(pairs); i += 2 {
		data := pairs[i+1].([]byte)
		must(t, w.WriteHeader(&tar.Header{Name: pairs[i].(string), Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(data))}))
		_, err := w.Write(data)
		must(t, err)
	}
	must(t, w.Close())
	return layer{v1.MediaTypeImageLayerGzip, "", gzipped(t, b.Bytes())}, digest.FromBytes(b.Bytes())
}

func gzipped(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(data)
	must(t, err)
	must(t, w.Close())
	return b.Bytes()
}

func zstded(t *testing.T, data []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	must(t, err)
	defer w.Close()
	return w.EncodeAll(data, nil)
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	must(t, err)
	return data
}

// shape is an image that must run.
type shape struct {
	name    string
	picture picture
	// command that the image has itself; "" for a dummy.
	command string
}

// shapes are all kinds of images with a raw module.
func shapes(t *testing.T) []shape {
	t.Helper()
	m := multi(t)
	empty := picture{v1.MediaTypeEmptyJSON, object{}, []layer{{cncfLayer, "oras.wasm", m}}}
	old := picture{"application/vnd.wasm.config.v1+json", object{"tool": "wasm-to-oci"},
		[]layer{{"application/vnd.wasm.content.layer.v1+wasm", "module.wasm", m}}}
	istio := picture{"application/vnd.module.wasm.config.v1+json", object{"tool": "wasme"}, []layer{
		{"application/vnd.module.wasm.config.v1+json", "runtime-config.json", []byte(`{"type":"x"}`)},
		{"application/vnd.module.wasm.content.layer.v1+wasm", "filter.wasm", m},
	}}
	titled := cncf(m)
	titled.layers = []layer{{cncfLayer, "my app", m}}
	titled.config.(object)["created"] = "2026-01-02T00:00:00Z"
	return []shape{
		{"cncf", cncf(m), ""},
		{"cncf-titled", titled, "my app"},
		{"runwasi", raw("/app", layer{"application/vnd.bytecodealliance.wasm.component.layer.v0+wasm", "", m}), "/app"},
		{"raw", raw("app.wasm", layer{cncfLayer, "", m}), "app.wasm"},
		{"content", raw("/x/app.wasm", layer{"application/vnd.wasm.content.layer.v1+wasm", "", m}), "/x/app.wasm"},
		{"module", raw("run", layer{"application/vnd.module.wasm.content.layer.v1+wasm", "", m}), "run"},
		{"gzip", raw("/gzip", layer{cncfLayer + "+gzip", "", gzipped(t, m)}), "/gzip"},
		{"zstd", raw("/zstd", layer{cncfLayer, "", zstded(t, m)}), "/zstd"},
		{"oras", empty, "oras.wasm"},
		{"wasm-to-oci", old, ""},
		{"istio", istio, "filter.wasm"},
	}
}

func (l layer) sum() string { return digest.FromBytes(l.data).Encoded() }

// ordinary: the configuration has a command.
func (p picture) ordinary() bool { return p.configType == v1.MediaTypeImageConfig }
