package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/zstd"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/containerdapi"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// memory is a content store.
type memory map[string][]byte

func (m memory) Content(_ context.Context, digest string) (io.ReadCloser, error) {
	data, ok := m[digest]
	if !ok {
		return nil, fmt.Errorf("content %s: %w", digest, errdefs.ErrNotFound)
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

func (m memory) put(mediaType string, data []byte) containerdapi.Descriptor {
	d := fmt.Sprintf("sha256:%x", sha256.Sum256(data))
	m[d] = data
	return containerdapi.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))}
}

func (m memory) putJSON(t testing.TB, v any) containerdapi.Descriptor {
	t.Helper()
	data, err := json.Marshal(v)
	must(t, err)
	return m.put("application/json", data)
}

type object = map[string]any

func refer(d containerdapi.Descriptor) object {
	return object{"mediaType": d.MediaType, "digest": d.Digest, "size": d.Size}
}

// manifest puts a manifest of layers, bottom first.
func (m memory) manifest(t testing.TB, layers ...containerdapi.Descriptor) containerdapi.Descriptor {
	t.Helper()
	all := []object{}
	for _, l := range layers {
		all = append(all, refer(l))
	}
	return m.putJSON(t, object{"layers": all})
}

const tarLayer = "application/vnd.oci.image.layer.v1.tar"

// wasm is a module that can be told from others.
func wasm(name string) string { return "\x00asm\x01\x00\x00\x00" + name }

// header is an entry of an archive; a regular file unless it says otherwise.
type header struct {
	name, content string
	kind          byte
	link          string
}

func archive(t testing.TB, entries ...header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Typeflag: tar.TypeReg, Linkname: e.link, Mode: 0o644, Size: int64(len(e.content))}
		if e.kind != 0 {
			h.Typeflag = e.kind
		}
		must(t, w.WriteHeader(h))
		_, err := io.WriteString(w, e.content)
		must(t, err)
	}
	must(t, w.Close())
	return b.Bytes()
}

func zipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(data)
	must(t, err)
	must(t, w.Close())
	return b.Bytes()
}

func zstandard(t testing.TB, data []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	must(t, err)
	return w.EncodeAll(data, nil)
}

// found are the names and contents of an image's modules, as "name=content".
func found(t testing.TB, m memory, target containerdapi.Descriptor) []string {
	t.Helper()
	modules, err := Modules(t.Context(), m, target)
	must(t, err)
	var all []string
	must(t, Extract(t.Context(), m, modules, func(module Module, r io.Reader) error {
		data, err := io.ReadAll(r)
		must(t, err)
		if module.Size >= 0 && module.Size != int64(len(data)) {
			t.Errorf("%s: size %d, not %d", module.Name, module.Size, len(data))
		}
		content, ok := strings.CutPrefix(string(data), wasm(""))
		if !ok {
			t.Errorf("%s is no module", module.Name)
		}
		all = append(all, module.Name+"="+content)
		return nil
	}))
	if len(all) != len(modules) {
		t.Errorf("%d modules, %d extracted", len(modules), len(all))
	}
	return all
}

func TestModulesAreFoundInEveryPacking(t *testing.T) {
	t.Parallel()
	data := archive(t,
		header{name: "bin/", kind: tar.TypeDir}, header{name: "bin/a.wasm", content: wasm("A")}, header{name: "README", content: "text"},
		header{name: "empty"}, header{name: "short", content: "\x00asm"}, header{name: "component", content: "\x00asm\x0d\x00\x01\x00"},
		header{name: "./no-suffix", content: wasm("B")}, header{name: "link", kind: tar.TypeSymlink, link: "no-suffix"})
	skippable := append([]byte{0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3}, zstandard(t, data)...)
	two := append(zipped(t, data[:1024]), zipped(t, data[1024:])...)
	for name, packed := range map[string][]byte{
		"tar": data, "gzip": zipped(t, data), "zstd": zstandard(t, data), "zstd:chunked": skippable, "gzip in parts": two,
	} {
		m := memory{}
		// The media type may lie: Docker calls every layer gzip.
		got := found(t, m, m.manifest(t, m.put(tarLayer+"+gzip", packed)))
		if want := []string{"/bin/a.wasm=A", "/no-suffix=B"}; !slices.Equal(got, want) {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

func TestLayerMayBeAModule(t *testing.T) {
	t.Parallel()
	m := memory{}
	raw := m.put("application/wasm", []byte(wasm("raw")))
	packed := m.put("application/vnd.wasm.content.layer.v1+wasm", zipped(t, []byte(wasm("packed"))))
	config := m.put("text/plain", []byte(strings.Repeat("not an archive", 100)))
	short := m.put("text/plain", []byte("short"))
	got := found(t, m, m.manifest(t, raw, config, short, packed, raw))
	if want := []string{raw.Digest + "=raw", packed.Digest + "=packed"}; !slices.Equal(sorted(got), sorted(want)) {
		t.Errorf("got %q", got)
	}
}

func sorted(s []string) []string { slices.Sort(s); return s }

func TestUpperLayersHideWhatTheyDeleteOrReplace(t *testing.T) {
	t.Parallel()
	lower := []header{{name: "a", content: wasm("a")}, {name: "d/b", content: wasm("b")}, {name: "d/e/c", content: wasm("c")}, {name: "dd", content: wasm("dd")}}
	dir := func(name string) header { return header{name: name, kind: tar.TypeDir} }
	for name, tc := range map[string]struct {
		upper []header
		want  string
	}{
		"nothing":                 {nil, "/a=a /d/b=b /d/e/c=c /dd=dd"},
		"replaced":                {[]header{{name: "a", content: wasm("new")}}, "/a=new /d/b=b /d/e/c=c /dd=dd"},
		"replaced by text":        {[]header{{name: "a", content: "text"}}, "/d/b=b /d/e/c=c /dd=dd"},
		"replaced by a symlink":   {[]header{{name: "a", kind: tar.TypeSymlink, link: "d/b"}}, "/d/b=b /d/e/c=c /dd=dd"},
		"replaced by a directory": {[]header{dir("a")}, "/d/b=b /d/e/c=c /dd=dd"},
		"directory by a file":     {[]header{{name: "d", content: wasm("d")}}, "/a=a /d=d /dd=dd"},
		"directory again":         {[]header{dir("d/"), {name: "d/f", content: wasm("f")}}, "/a=a /d/b=b /d/e/c=c /d/f=f /dd=dd"},
		"deleted":                 {[]header{{name: ".wh.a"}, {name: "d/.wh.b"}}, "/d/e/c=c /dd=dd"},
		"directory deleted":       {[]header{{name: ".wh.d"}}, "/a=a /dd=dd"},
		"opaque":                  {[]header{dir("d"), {name: "d/.wh..wh..opq"}}, "/a=a /dd=dd"},
		"opaque, own before":      {[]header{{name: "d/b", content: wasm("own")}, {name: "d/.wh..wh..opq"}}, "/a=a /d/b=own /dd=dd"},
		"opaque, own after":       {[]header{{name: "d/.wh..wh..opq"}, {name: "d/b", content: wasm("own")}}, "/a=a /d/b=own /dd=dd"},
		"everything":              {[]header{{name: ".wh..wh..opq"}, {name: "n", content: wasm("n")}}, "/n=n"},
		"of AUFS":                 {[]header{{name: ".wh..wh.plnk", kind: tar.TypeDir}}, "/a=a /d/b=b /d/e/c=c /dd=dd"},
		"own deleted and made":    {[]header{{name: ".wh.a"}, {name: "a", content: wasm("own")}}, "/a=own /d/b=b /d/e/c=c /dd=dd"},
		"twice":                   {[]header{{name: "a", content: wasm("1")}, {name: "a", content: wasm("2")}}, "/a=2 /d/b=b /d/e/c=c /dd=dd"},
		"outside":                 {[]header{{name: "../../a", content: wasm("up")}}, "/a=up /d/b=b /d/e/c=c /dd=dd"},
	} {
		m := memory{}
		got := found(t, m, m.manifest(t, m.put(tarLayer, archive(t, lower...)), m.put(tarLayer, zipped(t, archive(t, tc.upper...)))))
		if s := strings.Join(sorted(got), " "); s != tc.want {
			t.Errorf("%s: %s, want %s", name, s, tc.want)
		}
	}
}

// The name that a hard link refers to may be hidden when the link is not.
func TestHardLinkIsTheSameModule(t *testing.T) {
	t.Parallel()
	m := memory{}
	lower := m.put(tarLayer, archive(t, header{name: "a", content: wasm("a")}, header{name: "b", kind: tar.TypeLink, link: "a"},
		header{name: "c", kind: tar.TypeLink, link: "./a"}))
	if got := found(t, m, m.manifest(t, lower)); !slices.Equal(got, []string{"/a=a"}) {
		t.Errorf("got %q", got)
	}
	upper := m.put(tarLayer, archive(t, header{name: ".wh.a"}, header{name: "b", content: "text"}))
	if got := found(t, m, m.manifest(t, lower, upper)); !slices.Equal(got, []string{"/c=a"}) {
		t.Errorf("got %q", got)
	}
}

func TestManifestsOfThisMachineAndOfWasmAreTaken(t *testing.T) {
	t.Parallel()
	m := memory{}
	member := func(os, arch string) object {
		o := refer(m.manifest(t, m.put(tarLayer, archive(t, header{name: os + arch, content: wasm("")}))))
		o["platform"] = object{"os": os, "architecture": arch}
		return o
	}
	provenance := refer(m.manifest(t, m.put("text", []byte("x"))))
	provenance["platform"] = object{"os": "linux", "architecture": runtime.GOARCH}
	provenance["annotations"] = object{attestation: "attestation-manifest"}
	delete(m, provenance["digest"].(string))
	absent := member("wasi", "wasm32")
	delete(m, absent["digest"].(string))
	inner := refer(m.putJSON(t, object{"manifests": []object{member("wasi", "wasm")}}))
	index := m.putJSON(t, object{"manifests": []object{
		member("linux", runtime.GOARCH), member("linux", "s390x"), member("windows", runtime.GOARCH), member("wasip1", "wasm"),
		member("unknown", "unknown"), absent, provenance, inner,
	}})
	got := sorted(found(t, m, index))
	want := []string{"/linux" + runtime.GOARCH + "=", "/wasip1wasm=", "/wasiwasm="}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}

	alone := m.manifest(t, m.put(tarLayer, archive(t, header{name: "x", content: wasm("")})))
	if got := found(t, m, alone); len(got) != 1 {
		t.Errorf("alone: %q", got)
	}
	none := m.putJSON(t, object{"manifests": []object{member("linux", "s390x")}})
	if _, err := Modules(t.Context(), m, none); err == nil || !strings.Contains(err.Error(), `"linux/s390x"`) {
		t.Errorf("foreign: %v", err)
	}
	gone := m.putJSON(t, object{"manifests": []object{absent}})
	if _, err := Modules(t.Context(), m, gone); !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "pull") {
		t.Errorf("not there: %v", err)
	}
}

func TestBrokenImagesAreErrors(t *testing.T) {
	t.Parallel()
	m := memory{}
	good := archive(t, header{name: "a", content: wasm(strings.Repeat("a", 5000))})
	deep := func(n int) containerdapi.Descriptor {
		d := m.manifest(t)
		for range n {
			d = m.putJSON(t, object{"manifests": []object{refer(d)}})
		}
		return d
	}
	var many []header
	for i := range maxModules + 1 {
		many = append(many, header{name: fmt.Sprint(i), content: wasm("")})
	}
	wide := []object{}
	for i := range maxManifests + 1 {
		wide = append(wide, refer(m.putJSON(t, object{"layers": []object{}, "i": i})))
	}
	for name, tc := range map[string]struct {
		target containerdapi.Descriptor
		want   string
	}{
		"absent":           {containerdapi.Descriptor{Digest: "sha256:0"}, "not found"},
		"no JSON":          {m.put("", []byte("text")), "decode manifest"},
		"something else":   {m.putJSON(t, object{"a": 1}), "neither an index nor a manifest"},
		"empty":            {m.putJSON(t, object{"manifests": []object{}}), "empty"},
		"schema 1":         {m.putJSON(t, object{"fsLayers": []object{{}}}), "Docker 1.9"},
		"large":            {m.put("", make([]byte, maxManifest+1)), "larger than"},
		"nested":           {deep(maxDepth + 1), "levels"},
		"wide":             {m.putJSON(t, object{"manifests": wide}), "more than 64 manifests"},
		"layers":           {m.manifest(t, make([]containerdapi.Descriptor, maxLayers+1)...), "more than 1024 layers"},
		"layer absent":     {m.manifest(t, containerdapi.Descriptor{Digest: "sha256:1"}), "sha256:1"},
		"encrypted":        {m.manifest(t, m.put(tarLayer+"+gzip+encrypted", good)), "encrypted"},
		"truncated tar":    {m.manifest(t, m.put(tarLayer, good[:2000])), "unexpected EOF"},
		"truncated gzip":   {m.manifest(t, m.put(tarLayer, zipped(t, good)[:60])), "unexpected EOF"},
		"truncated zstd":   {m.manifest(t, m.put(tarLayer, zstandard(t, good)[:40])), "unexpected EOF"},
		"bad gzip":         {m.manifest(t, m.put(tarLayer, []byte("\x1f\x8bxxxxxxxxxxxxxxxx"))), "gzip"},
		"no tar":           {m.manifest(t, m.put(tarLayer, bytes.Repeat([]byte("x"), 2000))), "invalid tar header"},
		"too many modules": {m.manifest(t, m.put(tarLayer, archive(t, many...))), "more than 1024 modules"},
		"long path":        {m.manifest(t, m.put(tarLayer, archive(t, header{name: strings.Repeat("a/", 2100) + "a"}))), "path of"},
		"deep path":        {m.manifest(t, m.put(tarLayer, archive(t, header{name: strings.Repeat("a/", 300) + "a"}))), "directories"},
	} {
		_, err := Modules(t.Context(), m, tc.target)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// endless is a store with a layer of zeros behind a first entry.
type endless struct {
	memory
	digest string
	begin  []byte
}

func (e endless) Content(ctx context.Context, digest string) (io.ReadCloser, error) {
	if digest != e.digest {
		return e.memory.Content(ctx, digest)
	}
	return io.NopCloser(io.MultiReader(bytes.NewReader(e.begin), zeros{})), nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestBombsAreDefused(t *testing.T) {
	t.Parallel()
	m := memory{}
	// A file that is as large as a header can say, in an endless layer.
	huge := archive(t, header{name: "a", content: wasm("")})[:512]
	copy(huge[124:136], "77777777777\x00")
	sum := 0
	for i, b := range huge {
		if i >= 148 && i < 156 {
			b = ' '
		}
		sum += int(b)
	}
	copy(huge[148:156], fmt.Sprintf("%06o\x00 ", sum))
	layer := m.put(tarLayer, []byte("endless"))
	store := endless{m, layer.Digest, append(huge, wasm("")...)}
	r := newReader(t.Context(), store)
	r.unpacked = 1 << 20
	if err := r.walk(layer, func(*file) error { return nil }); err == nil || !strings.Contains(err.Error(), "GiB") {
		t.Errorf("endless file: %v", err)
	}
	r = newReader(t.Context(), store)
	r.entries = 0
	if err := r.walk(layer, func(*file) error { return nil }); err == nil || !strings.Contains(err.Error(), "files") {
		t.Errorf("many files: %v", err)
	}
	// A module of 8 GiB may be looked at and is the caller's to refuse.
	stop := fmt.Errorf("that is enough")
	modules := []Module{{Name: "/a", layer: layer}}
	err := Extract(t.Context(), store, modules, func(_ Module, r io.Reader) error {
		n, _ := io.CopyN(io.Discard, r, 10<<20)
		if n != 10<<20 {
			t.Errorf("read %d bytes", n)
		}
		return stop
	})
	if err != stop {
		t.Errorf("each's error became %v", err)
	}
}

func FuzzLayer(f *testing.F) {
	plain := archive(f, header{name: "d/", kind: tar.TypeDir}, header{name: "d/a", content: wasm("a")}, header{name: "b", kind: tar.TypeLink, link: "d/a"},
		header{name: ".wh.x"}, header{name: "d/.wh..wh..opq"}, header{name: strings.Repeat("long/", 60) + "name", content: wasm("")})
	for _, data := range [][]byte{plain, zipped(f, plain), zstandard(f, plain), []byte(wasm("raw")), nil} {
		f.Add(data, true)
	}
	f.Fuzz(func(t *testing.T, data []byte, upper bool) {
		m := memory{}
		base := m.put(tarLayer, plain)
		layer := m.put(tarLayer, data)
		c := chain{base, layer}
		if !upper {
			c = chain{layer, base}
		}
		r := newReader(t.Context(), m)
		r.unpacked, r.entries = 64<<20, 10000
		modules, err := r.find(c)
		if err != nil {
			return
		}
		for _, module := range modules {
			if module.Name == "" || module.entry < wholeLayer {
				t.Fatalf("%+v", module)
			}
		}
		r.unpacked = 64 << 20
		for _, module := range modules {
			err := r.extract([]Module{module}, func(_ Module, in io.Reader) error {
				head := make([]byte, len(magic))
				if _, err := io.ReadFull(in, head); err != nil || !IsModule(head) {
					t.Fatalf("%s: %q, %v", module.Name, head, err)
				}
				return nil
			})
			if err != nil && r.unpacked > 0 && r.entries > 0 {
				t.Fatalf("%s was found, not extracted: %v", module.Name, err)
			}
		}
	})
}
