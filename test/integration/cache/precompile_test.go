package cache

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

const name = "test.local/two-layers:1"

// twoLayers is an image with a module of every kind: kept, replaced, deleted.
func twoLayers(module []byte) layers {
	return layers{platform: "linux/" + runtime.GOARCH, entry: "/app.wasm", all: []layer{
		files("gzip", "/app.wasm", variant(module, "old"), "/bin/tool.wasm", variant(module, "tool"), "/gone.wasm", variant(module, "gone"),
			"/readme", "no module"),
		files("zstd", "/app.wasm", variant(module, "new"), "/.wh.gone.wasm", "", "/lib/no-suffix", variant(module, "lib")),
	}}
}

// TestEveryContainerd: images are read from all versions.
func TestEveryContainerd(t *testing.T) {
	module := testenv.Example(t, "daemon")
	for _, version := range testenv.Versions() {
		t.Run(version, func(t *testing.T) {
			c := start(t, version)
			c.Ctr(t, "images", "import", archive(t, name, twoLayers(module)))
			for _, want := range []string{"compiled", "hit"} {
				done, status := precompile(t, c, name)
				if status != 0 || len(done) != 3 {
					t.Errorf("status %d: %+v", status, done)
				}
				for path, content := range map[string]string{"/app.wasm": "new", "/bin/tool.wasm": "tool", "/lib/no-suffix": "lib"} {
					if p := done[path]; p.Outcome != want || p.Source != name || p.Digest != sum(variant(module, content)) {
						t.Errorf("%s: %+v, want %s", path, p, want)
					}
				}
			}
			want := []string{sum(variant(module, "new")), sum(variant(module, "tool")), sum(variant(module, "lib"))}
			slices.Sort(want)
			if got := slices.Sorted(maps.Keys(list(t, c))); !slices.Equal(got, want) {
				t.Errorf("the cache has %q", got)
			}
		})
	}
}

// TestLife goes through the life of an image on a node.
func TestLife(t *testing.T) {
	module := testenv.Example(t, "daemon")
	c := start(t, testenv.Newest)
	c.Ctr(t, "images", "import", archive(t, name, twoLayers(module)))
	if _, status := precompile(t, c, name); status != 0 {
		t.Fatalf("status %d", status)
	}

	app := sum(variant(module, "new"))
	k := c.Run(t, testenv.Spec{ID: "app", Image: testenv.Image{Name: name}})
	testenv.Eventually(t, "start with precompiled code", func() error {
		for line := range strings.Lines(c.Log()) {
			if strings.Contains(line, "module started") && strings.Contains(line, "outcome=hit") && strings.Contains(line, app[:12]) {
				return nil
			}
		}
		return fmt.Errorf("the shim's log does not tell of a hit")
	})
	if all := list(t, c); !all[app].InUse || all[sum(variant(module, "tool"))].InUse {
		t.Errorf("in use: %+v", all)
	}
	if o := run(t, c, "cache", "rm", app[:12]); o.status != 1 || !strings.Contains(o.stderr, "in use") {
		t.Errorf("removed while in use: %+v", o)
	}
	succeed(t, c, "cache", "prune", "--max-size", "0")
	if all := list(t, c); len(all) != 1 || !all[app].InUse {
		t.Errorf("pruned to %+v", all)
	}
	if out := succeed(t, c, "cache", "verify"); out != "1 intact, 0 not\n" {
		t.Errorf("verify: %q", out)
	}
	succeed(t, c, "cache", "rm", "--force", app)
	if all := list(t, c); len(all) != 0 {
		t.Errorf("left: %+v", all)
	}
	k.Signal(t, syscall.SIGTERM)
	if status := k.Finish(t); status != 128+uint32(syscall.SIGTERM) {
		t.Errorf("the container without its entry ended with %d", status)
	}
	if done, _ := precompile(t, c, name); done["/app.wasm"].Outcome != "compiled" {
		t.Errorf("after its removal: %+v", done)
	}
}

// TestPlatforms: what containers of this node may run is compiled, also a layer
// that is a module.
func TestPlatforms(t *testing.T) {
	module := testenv.Example(t, "daemon")
	c := start(t, testenv.Newest)
	image := func(platform, packing string) layers {
		path := "/" + strings.ReplaceAll(platform, "/", "-")
		if packing == "wasm" {
			path = "/"
		}
		return layers{platform: platform, entry: path, all: []layer{files(packing, path, variant(module, platform))}}
	}
	c.Ctr(t, "images", "import", "--all-platforms", "--no-unpack", archive(t, name,
		image("linux/"+runtime.GOARCH, ""), image("linux/s390x", "gzip"), image("wasip1/wasm", "zstd"), image("wasi/wasm", "wasm")))
	done, status := precompile(t, c, name)
	if status != 0 || len(done) != 3 {
		t.Errorf("status %d: %+v", status, done)
	}
	all := list(t, c)
	for _, platform := range []string{"linux/" + runtime.GOARCH, "wasip1/wasm", "wasi/wasm"} {
		if _, ok := all[sum(variant(module, platform))]; !ok {
			t.Errorf("the module for %s is missing in %+v", platform, done)
		}
	}

	native := layers{platform: "linux/" + runtime.GOARCH, entry: "/x", all: []layer{files("gzip", "/x", "text")}}
	c.Ctr(t, "images", "import", archive(t, "test.local/native:1", native))
	if out := succeed(t, c, "precompile", "test.local/native:1"); !strings.Contains(out, "test.local/native:1 has no WebAssembly module") {
		t.Errorf("got %q", out)
	}
}

// TestDocker: what docker build has made is found by its short name.
func TestDocker(t *testing.T) {
	d := testenv.StartDocker(t)
	module := testenv.Example(t, "daemon")
	d.Build(t, "built", "FROM scratch\nCOPY app.wasm /\nENTRYPOINT [\"/app.wasm\"]\n", map[string]testenv.File{"app.wasm": {Data: module}})
	done, status := precompile(t, nodeOf(t, d.Containerd), "built")
	if p := done["/app.wasm"]; status != 0 || p.Outcome != "compiled" || p.Source != "docker.io/library/built:latest" {
		t.Errorf("status %d: %+v", status, done)
	}
}

// TestProblemsAreExplained in a sentence each, and keep nothing else from being
// done.
func TestProblemsAreExplained(t *testing.T) {
	module := testenv.Example(t, "daemon")
	c := start(t, testenv.Newest)
	platform := "linux/" + runtime.GOARCH
	c.Ctr(t, "images", "import", archive(t, "docker.io/library/short:latest",
		layers{platform: platform, entry: "/a", all: []layer{files("gzip", "/a", variant(module, "a"), "/broken\x1b[31m.wasm", string(module)+"\x01")}}))
	c.Ctr(t, "images", "import", "--no-unpack", archive(t, "test.local/bad-layer:1",
		layers{platform: platform, entry: "/a", all: []layer{{packing: "", files: map[string]string{"/a": "x"}, order: []string{"/a"}}}}))
	c.Ctr(t, "images", "import", "--all-platforms", "--no-unpack", archive(t, "test.local/foreign:1",
		layers{platform: "linux/s390x", entry: "/a", all: []layer{files("gzip", "/a", string(module))}}))
	c.Ctr(t, "images", "tag", "test.local/foreign:1", "test.local/foreign:2")

	// This waits for an answer that does not come.
	var other sync.WaitGroup
	defer other.Wait()
	other.Go(func() {
		if o := run(t, c, "precompile", "--address", c.Address()+".ttrpc", "short"); o.status != 1 || strings.Count(o.stderr, "\n") != 1 {
			t.Errorf("another protocol: %+v", o)
		}
	})

	// Short names; a broken module beside a good one.
	done, status := precompile(t, c, "short")
	if broken := done["/broken\x1b[31m.wasm"]; status != 1 || broken.Outcome != "failed" || strings.ContainsAny(broken.Error, "\x1b\n") {
		t.Errorf("status %d: %+v", status, done)
	}
	if good := done["/a"]; good.Outcome != "compiled" || good.Source != "docker.io/library/short:latest" {
		t.Errorf("%+v", done)
	}
	for image, want := range map[string][]string{
		"test.local/foreign:1": {`"linux/s390x"`},
		"test.local/foreign:3": {"did you mean", "test.local/foreign:1 or test.local/foreign:2"},
		"test.local/nothing":   {"test.local/nothing:latest", c.Namespace, "pull it"},
	} {
		o := run(t, c, "precompile", image)
		if o.status != 1 || strings.Count(o.stderr, "\n") != 1 {
			t.Errorf("%s: %+v", image, o)
		}
		for _, w := range want {
			if !strings.Contains(o.stderr, w) {
				t.Errorf("%s: %q is missing in %s", image, w, o.stderr)
			}
		}
	}
	if o := run(t, c, "precompile", "--namespace", "default", "short"); o.status != 1 || !strings.Contains(o.stderr, "with --namespace "+c.Namespace+" it is there") {
		t.Errorf("another namespace: %+v", o)
	}
}
