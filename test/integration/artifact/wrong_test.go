package artifact

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/oci"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

const component = "\x00asm\x0d\x00\x01\x00 and more"

// TestWrong: an image that cannot run fails Create with one sentence that says what
// was found and what to do.
func TestWrong(t *testing.T) {
	m := multi(t)
	with := func(layers ...layer) picture { p := cncf(m); p.layers = layers; return p }
	plain := func(pairs ...any) picture {
		l, diff := files(t, pairs...)
		return picture{v1.MediaTypeImageConfig, ociConfig(here(), v1.ImageConfig{}, diff), []layer{l}}
	}
	for _, version := range versions() {
		t.Run(version, func(t *testing.T) {
			n := start(t, version)
			for name, c := range map[string]struct {
				picture picture
				command string
				want    []string
			}{
				"component":      {with(layer{cncfLayer, "c.wasm", []byte(component)}), "/", []string{`"c.wasm"`, "is a Wasm component", "wasip1"}},
				"packed":         {with(layer{cncfLayer, "c.wasm", zstded(t, []byte(component))}), "/", []string{`"c.wasm"`, "is a Wasm component"}},
				"truncated":      {with(layer{cncfLayer, "", m[:6]}), "/", []string{"sha256:", "is a truncated file of 6 bytes"}},
				"text":           {with(layer{cncfLayer, "", []byte("404 not found, sorry")}), "/", []string{"is a text file"}},
				"native":         {with(layer{cncfLayer, "", guests.Build(t, "multi", testenv.Native)}), "/", []string{"is a native program, not a Wasm module"}},
				"damaged gzip":   {with(layer{cncfLayer, "g", gzipped(t, m)[:1000]}), "/", []string{`"g"`, "unexpected EOF"}},
				"two modules":    {with(layer{cncfLayer, "a.wasm", m}, layer{cncfLayer, "b.wasm", append([]byte(nil), append(m, 0, 2, 1, 'x')...)}), "/", []string{"has 2 Wasm modules", `"a.wasm" ("application/wasm"`, `"b.wasm" ("application/wasm"`}},
				"no module":      {with(layer{"application/vnd.example+json", "x.json", []byte("{}")}), "/", []string{"has no Wasm module", cncfConfig, `"x.json" ("application/vnd.example+json", 2 bytes)`, cncfLayer}},
				"no layers":      {with(), "/", []string{"has no Wasm module", cncfConfig, "no layers"}},
				"encrypted":      {with(layer{cncfLayer + "+encrypted", "e", []byte("secret")}), "/", []string{`"e"`, "it is encrypted"}},
				"another name":   {with(layer{cncfLayer, "app", m}), "/bin/sh", []string{`process.args[0] "/bin/sh"`, "no such file or directory", `"app"`, "make / the command"}},
				"file system":    {plain("app", m), "/", []string{`process.args[0] "/"`, "is a directory: name the module in it"}},
				"not in it":      {plain("app", m), "/nowhere", []string{`process.args[0] "/nowhere"`, "no such file or directory", "check ENTRYPOINT and CMD"}},
				"strange config": {picture{"application/vnd.unknown.config.v1+json", object{}, []layer{{"application/vnd.acme.rocket", "", []byte("x")}}}, "/", []string{"application/vnd.unknown.config.v1+json", "application/vnd.acme.rocket"}},
			} {
				t.Run(name, func(t *testing.T) {
					id := strings.ReplaceAll(name, " ", "-")
					image := n.registry.tag(id, n.registry.picture(t, c.picture))
					n.pull(t, image)
					o, err := n.try(t, id, image, "", []string{c.command, "echo", "it runs"})
					if err == nil {
						t.Fatalf("it ran: %+v", o)
					}
					for _, want := range c.want {
						if !strings.Contains(err.Error(), want) {
							t.Errorf("%q is missing in: %v", want, err)
						}
					}
					if strings.ContainsAny(err.Error(), "\n\x1b") || len(err.Error()) > 600 {
						t.Errorf("no sentence for people: %q", err)
					}
				})
			}
		})
	}
}

// TestImageIsGone: containerd has thrown the module away since the container was made.
func TestImageIsGone(t *testing.T) {
	n := start(t, testenv.Newest)
	p := cncf(multi(t))
	image := n.registry.tag("gone", n.registry.picture(t, p))
	n.pull(t, image)
	n.Ctr(t, "content", "rm", "sha256:"+p.layers[0].sum())
	if o, err := n.try(t, "content", image, "", []string{"/", "echo"}); err == nil || !strings.Contains(err.Error(), "pull the image again") {
		t.Errorf("%+v, %v", o, err)
	}
	c := n.container(t, "image", image, "", []string{"/", "echo"})
	n.Ctr(t, "images", "rm", image)
	if _, _, _, err := task(t, n, c); err == nil || !strings.Contains(err.Error(), "it is not known whether the image is a Wasm artifact") ||
		!strings.Contains(err.Error(), image) {
		t.Errorf("%v", err)
	}
}

// TestNoImage: a container that was made of a directory.
func TestNoImage(t *testing.T) {
	n := start(t, testenv.Newest)
	cl, ctx := n.Client(t)
	c, err := cl.NewContainer(ctx, "directory", client.WithRuntime(testenv.Runtime, nil), client.WithNewSpec(
		oci.WithDefaultSpecForPlatform(here()), oci.WithProcessArgs("/nowhere"), oci.WithRootFSPath(t.TempDir()),
		oci.WithCgroup("/"+n.Namespace+"/directory")))
	must(t, err)
	defer c.Delete(ctx)
	if _, _, _, err := task(t, n, c); err == nil || !strings.Contains(err.Error(), `process.args[0] "/nowhere": no such file or directory`) ||
		!strings.Contains(err.Error(), "containerd does not know the container's image") {
		t.Errorf("%v", err)
	}
}

// TestHook: a program that a hook may bring is left to the hook, unless the image's
// module is meant.
func TestHook(t *testing.T) {
	n := start(t, testenv.Newest)
	image := n.registry.tag("hook", n.registry.picture(t, cncf(multi(t))))
	n.pull(t, image)
	hooked := func(_ context.Context, _ oci.Client, _ *containers.Container, s *specs.Spec) error {
		s.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/true"}}}
		return nil
	}
	if out := n.run(t, "module", image, "", []string{"app.wasm", "echo", "x"}, hooked); out != "x\n" {
		t.Errorf("%q", out)
	}
	if _, err := n.try(t, "other", image, "", []string{"/bin/x", "echo", "x"}, hooked); err == nil || !strings.Contains(err.Error(), "runc create") {
		t.Errorf("%v", err)
	}
}

// TestMixed: a program in the root file system goes first, the layer's module sees
// the files.
func TestMixed(t *testing.T) {
	n := start(t, testenv.Newest)
	m := multi(t)
	base, diff := files(t, "motd", []byte("hello\n"), "native", guests.Build(t, "multi", testenv.Native), "app.wasm", []byte("#!/native echo\n"))
	image := n.registry.tag("mixed", n.registry.picture(t, picture{
		v1.MediaTypeImageConfig, ociConfig(here(), v1.ImageConfig{Entrypoint: []string{"/native"}}, diff),
		[]layer{base, {cncfLayer, "guest", m}},
	}))
	n.pull(t, image)
	for i, c := range []struct {
		want    string
		command []string
	}{
		{"hello\n", []string{"/", "read", "/motd"}},
		{"hello\n", []string{"guest", "read", "/motd"}},
		{"x\n", []string{"/native", "echo", "x"}},
		{"/app.wasm\n", []string{"/app.wasm"}},
	} {
		if out := n.run(t, fmt.Sprint("m", i), image, "", c.command); out != c.want {
			t.Errorf("%q printed %q", c.command, out)
		}
	}
	if o, err := n.try(t, "other", image, "", []string{"other"}); err == nil || !strings.Contains(err.Error(), `"other"`) {
		t.Errorf("a name that means nothing: %+v, %v", o, err)
	}
}

// TestIndex: of several images, that of this machine's platform, then one for Wasm.
func TestIndex(t *testing.T) {
	m := multi(t)
	named := func(name string) picture {
		// A module with a digest of its own.
		p := cncf(append(append([]byte(nil), m...), append([]byte{0, byte(len(name) + 1), byte(len(name))}, name...)...))
		p.layers[0].title = name
		return p
	}
	for _, version := range versions() {
		t.Run(version, func(t *testing.T) {
			n := start(t, version)
			add := func(platform string) v1.Descriptor {
				return forPlatform(platform, n.registry.picture(t, named(platform)))
			}
			base, diff := files(t, "native", guests.Build(t, "multi", testenv.Native))
			native := forPlatform(here(), n.registry.picture(t, picture{
				v1.MediaTypeImageConfig, ociConfig(here(), v1.ImageConfig{Entrypoint: []string{"/native"}}, diff), []layer{base},
			}))
			foreign := add("linux/s390x")
			if here() == "linux/s390x" {
				foreign = add("linux/ppc64le")
			}
			// --local: the transfer service wants to unpack for this platform.
			all := []string{"--all-platforms"}
			wasi := []string{"--platform", "wasip1/wasm"}
			if version == testenv.Newest {
				all, wasi = append(all, "--local"), append(wasi, "--local")
			}
			for name, c := range map[string]struct {
				index    v1.Descriptor
				pull     []string
				platform string
				command  []string
				title    string // of the module that must run
			}{
				"this machine":     {n.registry.index(t, foreign, add("wasip1/wasm"), add(here())), nil, "", []string{"/"}, here()},
				"only Wasm":        {n.registry.index(t, foreign, add("wasip1/wasm"), add("wasip2/wasm")), wasi, "wasip1/wasm", []string{"/"}, "wasip1/wasm"},
				"nested":           {n.registry.index(t, n.registry.index(t, foreign, add("wasip1/wasm"))), wasi, "wasip1/wasm", []string{"/"}, "wasip1/wasm"},
				"program":          {n.registry.index(t, native, add("wasip1/wasm")), nil, "", []string{"/native"}, ""},
				"program, not all": {n.registry.index(t, native, add("wasip1/wasm")), all, here(), []string{"/native"}, ""},
			} {
				t.Run(name, func(t *testing.T) {
					id := strings.NewReplacer(" ", "-", ",", "").Replace(strings.ToLower(name))
					image := n.registry.tag(id, c.index)
					n.pull(t, image, c.pull...)
					out := n.run(t, id, image, c.platform, append(c.command, "echo", "ran"))
					if out != "ran\n" {
						t.Errorf("printed %q", out)
					}
					if c.title != "" {
						n.awaitLog(t, "module="+c.title)
					}
				})
			}
			// Only those of Wasm that a name really means run beside a file system.
			image := n.registry.tag("both", n.registry.index(t, native, add("wasip1/wasm")))
			n.pull(t, image, all...)
			if o, err := n.try(t, "typo", image, here(), []string{"typo", "echo"}); err == nil {
				t.Errorf("a typing error ran %+v", o)
			}
		})
	}
}
