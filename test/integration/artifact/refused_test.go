package artifact

import (
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// TestRefusedByContainerd pins what containerd itself refuses, so that the shim is
// never asked: docs/images.md says what to do about each.
func TestRefusedByContainerd(t *testing.T) {
	m := multi(t)
	for _, version := range versions() {
		t.Run(version, func(t *testing.T) {
			k := startCRI(t, version)
			p := k.pod(t, nil)
			expect := func(what string, err error, want string) {
				t.Helper()
				switch {
				case want == "" && err != nil:
					t.Errorf("%s: %v", what, err)
				case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
					t.Errorf("%s: want %q, got %v", what, want, err)
				}
			}
			newest := version == testenv.Newest

			// A layer that is no file system counted as one.
			counted := raw("/x", layer{cncfLayer, "", m})
			counted.config = ociConfig("wasi/wasm", v1.ImageConfig{Entrypoint: []string{"/x"}}, digest.FromBytes(m))
			image := k.registry.tag("counted", k.registry.picture(t, counted))
			const mismatched = "mismatched image rootfs and manifest layers"
			if newest { // the transfer service does not look
				expect("ctr pull of a counted layer", k.tryPull(image), "")
				expect("ctr pull --local of a counted layer", k.tryPull(image, "--local"), mismatched)
				_, err := k.TryCtr("run", "--rm", "--runtime", testenv.Runtime, image, "counted")
				expect("ctr run of a counted layer", err, mismatched)
				_, err = k.try("pull", image)
				expect("CRI pull of a counted layer", err, "")
				_, err = p.create(t, "counted", image)
				expect("CRI create of a counted layer", err, "parent snapshot sha256:")
			} else {
				expect("ctr pull of a counted layer", k.tryPull(image), mismatched)
				_, err := k.try("pull", image)
				expect("CRI pull of a counted layer", err, mismatched)
			}

			// An index that has nothing for this machine.
			image = k.registry.tag("only", k.registry.index(t, forPlatform("wasip1/wasm", k.registry.picture(t, cncf(m)))))
			const noMatch = "no match for platform in manifest"
			_, err := k.try("pull", image)
			expect("CRI pull of an index", err, noMatch)
			if newest {
				expect("ctr pull of an index for its platform", k.tryPull(image, "--platform", "wasip1/wasm"), "no unpack platforms defined")
				expect("ctr pull --local of an index", k.tryPull(image, "--local"), noMatch)
				expect("ctr pull --local of an index for its platform", k.tryPull(image, "--local", "--platform", "wasip1/wasm"), "")
			} else {
				expect("ctr pull of an index", k.tryPull(image), noMatch)
				expect("ctr pull of an index for its platform", k.tryPull(image, "--platform", "wasip1/wasm"), "")
			}
		})
	}
}
