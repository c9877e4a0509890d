package artifact

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/containerdapi"
)

const wasm = "\x00asm\x01\x00\x00\x00"

const (
	ociConfig = "application/vnd.oci.image.config.v1+json"
	tarLayer  = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// store is a containerd in memory. test/integration/artifact asks real ones.
type store struct {
	containers, images map[string]string // image's name, target's digest
	blobs              map[string][]byte
}

func newStore() *store {
	return &store{map[string]string{}, map[string]string{}, map[string][]byte{}}
}

func (s *store) Container(_ context.Context, id string) (containerdapi.Container, error) {
	image, ok := s.containers[id]
	if !ok {
		return containerdapi.Container{}, fmt.Errorf("container %q: %w", id, errdefs.ErrNotFound)
	}
	return containerdapi.Container{ID: id, Image: image}, nil
}

func (s *store) Image(_ context.Context, name string) (containerdapi.Image, error) {
	target, ok := s.images[name]
	if !ok {
		return containerdapi.Image{}, fmt.Errorf("image %q: %w", name, errdefs.ErrNotFound)
	}
	return containerdapi.Image{Name: name, Target: containerdapi.Descriptor{Digest: target}}, nil
}

func (s *store) Content(_ context.Context, digest string) (io.ReadCloser, error) {
	data, ok := s.blobs[digest]
	if !ok {
		return nil, fmt.Errorf("content %s: %w", digest, errdefs.ErrNotFound)
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

type object = map[string]any

func (s *store) put(mediaType string, data []byte) object {
	d := fmt.Sprintf("sha256:%x", sha256.Sum256(data))
	s.blobs[d] = data
	return object{"mediaType": mediaType, "digest": d, "size": len(data)}
}

func (s *store) json(t testing.TB, mediaType string, v any) object {
	t.Helper()
	data, err := json.Marshal(v)
	must(t, err)
	return s.put(mediaType, data)
}

func titled(d object, title string) object {
	d["annotations"] = object{"org.opencontainers.image.title": title}
	return d
}

func (s *store) manifest(t testing.TB, config object, layers ...object) object {
	t.Helper()
	if layers == nil {
		layers = []object{}
	}
	return s.json(t, "application/vnd.oci.image.manifest.v1+json", object{"config": config, "layers": layers})
}

// container makes a container of an image.
func (s *store) container(id, image string, target object) {
	s.containers[id], s.images[image] = image, target["digest"].(string)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestWhichCommandsMeanTheModule(t *testing.T) {
	t.Parallel()
	s := newStore()
	named := titled(s.put(typeModule, []byte(wasm)), "my app")
	s.container("artifact", "a", s.manifest(t, s.json(t, typeConfig, object{}), named))
	s.container("oci", "b", s.manifest(t, s.json(t, ociConfig, object{"config": object{"Entrypoint": []string{"/srv/run"}}}), s.put(typeModule, []byte(wasm))))
	s.container("cmd", "c", s.manifest(t, s.json(t, ociConfig, object{"config": object{"Cmd": []string{"/srv/run", "x"}}}), s.put(typeModule, []byte(wasm))))
	s.container("mixed", "d", s.manifest(t, s.json(t, ociConfig, object{}), s.put(tarLayer, []byte("x")), named))
	for id, c := range map[string]struct{ yes, no []string }{
		"artifact": {[]string{"/", ".", "./", "//", "my app", "/my app", "./my app", "x", "a b", "X.WASM", "/srv/x.wasm"}, []string{"", "/bin/sh", "srv/x", "/my app/x"}},
		"oci":      {[]string{"/", "/srv/run", "run", "/any.wasm"}, []string{"/srv/other", "/srv/run/"}},
		"cmd":      {[]string{"/srv/run"}, []string{"/x"}},
		"mixed":    {[]string{"/", "my app", "x.wasm"}, []string{"x", "/bin/x"}},
	} {
		a, err := Find(t.Context(), s, id, "")
		if err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		for _, command := range c.yes {
			if !a.Means(command) {
				t.Errorf("%s: %q is refused", id, command)
			}
		}
		for _, command := range c.no {
			if a.Means(command) {
				t.Errorf("%s: %q is accepted", id, command)
			}
		}
		if id == "artifact" && (a.MeansExec("ls", "x") || !a.MeansExec("x", "x") || !a.MeansExec("/", "x") || !a.MeansExec("my app", "x")) {
			t.Error("an exec is something else")
		}
	}
	if err := (&Artifact{}).Refuse("/bin/sh"); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "no such file or directory") {
		t.Errorf("refused with %v", err)
	}
}

func TestOrdinaryImagesAreNoArtifacts(t *testing.T) {
	t.Parallel()
	s := newStore()
	config := s.json(t, ociConfig, object{})
	s.container("layers", "a", s.manifest(t, config, s.put(tarLayer, []byte("x"))))
	s.container("empty", "b", s.manifest(t, config))
	s.container("docker", "c", s.manifest(t, s.json(t, "application/vnd.docker.container.image.v1+json", object{}),
		s.put("application/vnd.docker.image.rootfs.diff.tar.gzip", []byte("x"))))
	for id := range s.containers {
		if a, err := Find(t.Context(), s, id, ""); !errors.Is(err, ErrFileSystem) {
			t.Errorf("%s: %+v, %v", id, a, err)
		}
	}
}

func TestIndexesAreSearchedByPreference(t *testing.T) {
	t.Parallel()
	s := newStore()
	on := func(platform string, d object) object {
		osName, arch, _ := strings.Cut(platform, "/")
		d["platform"] = object{"os": osName, "architecture": arch}
		return d
	}
	one := func(platform string) object {
		return on(platform, s.manifest(t, s.json(t, typeConfig, object{"for": platform}), titled(s.put(typeModule, []byte(wasm+platform)), platform)))
	}
	here := "linux/" + runtime.GOARCH
	absent := on(here, object{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "sha256:0", "size": 1})
	index := func(id string, entries ...object) {
		s.container(id, id, s.json(t, "application/vnd.oci.image.index.v1+json", object{"manifests": entries}))
	}
	index("here first", one("wasi/wasm"), one("wasip1/wasm"), one(here))
	index("wasip1 second", one("linux/wasm"), one("wasi/wasm32"), one("wasip1/wasm"), absent)
	index("capital letters", one("Wasip1/wasm"), one("linux/s390x"))
	index("same twice", one("wasip1/wasm"), one("wasip1/wasm"))
	for id, title := range map[string]string{"here first": here, "wasip1 second": "wasip1/wasm", "capital letters": "Wasip1/wasm", "same twice": "wasip1/wasm"} {
		if a, err := Find(t.Context(), s, id, ""); err != nil || a.Name() != title {
			t.Errorf("%s: %+v, %v", id, a, err)
		}
	}
	index("other machines", one("linux/s390x"), one("wasip2/wasm"))
	if _, err := Find(t.Context(), s, "other machines", ""); err == nil || !strings.Contains(err.Error(), `"linux/s390x", "wasip2/wasm"`) {
		t.Errorf("got %v", err)
	}
}

func TestHostileTextIsPrintable(t *testing.T) {
	t.Parallel()
	s := newStore()
	evil := "\x1b[2J\n" + strings.Repeat("x", 1000)
	s.container("modules", evil, s.manifest(t, s.json(t, evil, object{}), titled(s.put(typeModule, []byte("a")), evil), titled(s.put(typeModule, []byte("b")), evil)))
	s.container("others", evil+"2", s.manifest(t, s.json(t, evil, object{}), titled(s.put(evil, []byte("c")), evil)))
	many := make([]object, 500)
	for i := range many {
		many[i] = s.put(typeModule, fmt.Append(nil, i))
	}
	s.container("many", "many", s.manifest(t, s.json(t, typeConfig, object{}), many...))
	for id := range s.containers {
		_, err := Find(t.Context(), s, id, "")
		if err == nil || strings.ContainsAny(err.Error(), "\x1b\n") || len(err.Error()) > 2500 {
			t.Errorf("%s: %q", id, err)
		}
	}
}

func TestModuleIsSealedAndKnownByItsDigest(t *testing.T) {
	t.Parallel()
	s := newStore()
	content := wasm + strings.Repeat("x", 3<<20)
	layer := s.put(typeModule, []byte(content))
	s.container("c", "a", s.manifest(t, s.json(t, typeConfig, object{}), layer))
	a, err := Find(t.Context(), s, "c", "")
	must(t, err)
	f, digest, err := a.Open(t.Context(), s)
	must(t, err)
	defer f.Close()
	if got, err := io.ReadAll(f); err != nil || string(got) != content || *digest != sha256.Sum256([]byte(content)) {
		t.Errorf("%d bytes, %v, digest %x", len(got), err, *digest)
	}
	if _, err := f.Write([]byte("x")); err == nil {
		t.Error("the file can be written")
	}
	again, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), unix.O_RDWR, 0)
	if err == nil {
		defer unix.Close(again)
		if _, err := unix.Write(again, []byte("x")); err == nil {
			t.Error("the file can be opened once more and written")
		}
		if err := unix.Ftruncate(again, 0); err == nil {
			t.Error("the file can be cut")
		}
	}
}

// TestNobodyAnswers asks sockets at which something is wrong.
func TestNobodyAnswers(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "ar-") // paths of sockets are short
	must(t, err)
	defer os.RemoveAll(dir)
	silent, err := net.Listen("unix", filepath.Join(dir, "silent"))
	must(t, err)
	defer silent.Close()
	for _, name := range []string{"nothing", "silent"} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		begin := time.Now()
		_, err := Find(ctx, containerdapi.New(filepath.Join(dir, name), "ns"), "c", "")
		if !errors.Is(err, ErrUnknown) || time.Since(begin) > 5*time.Second {
			t.Errorf("%s: %v after %s", name, err, time.Since(begin))
		}
	}
	s := newStore()
	if _, err := Find(t.Context(), s, "nobody", ""); !errors.Is(err, ErrUnknown) {
		t.Errorf("got %v", err)
	}
	s.containers["c"] = ""
	if _, err := Find(t.Context(), s, "c", ""); !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), "image store") {
		t.Errorf("got %v", err)
	}
}

func FuzzManifest(f *testing.F) {
	s := newStore()
	good := s.manifest(f, s.json(f, typeConfig, object{}), titled(s.put(typeModule, []byte(wasm)), "x"))
	f.Add(s.blobs[good["digest"].(string)])
	f.Add([]byte(`{"manifests":[{"digest":"m","platform":{"os":"wasip1","architecture":"wasm"}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s.containers["c"], s.images["i"], s.blobs["m"] = "i", "m", data
		a, err := Find(t.Context(), s, "c", "")
		if (a == nil) == (err == nil) {
			t.Fatalf("%+v, %v", a, err)
		}
		if a == nil {
			return
		}
		if file, _, err := a.Open(t.Context(), s); err == nil {
			file.Close()
		}
	})
}
