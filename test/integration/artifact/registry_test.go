package artifact

import (
	"testing"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// host is the registry's name in images. It exists only in containerd's hosts.toml.
const host = "registry.test"

// registry is one that pictures can be put into.
type registry struct{ *testenv.Registry }

func serve(t *testing.T) *registry {
	t.Helper()
	return &registry{testenv.ServeRegistry(t)}
}

// tag names a manifest or an index, and returns the full name.
func (r *registry) tag(name string, d v1.Descriptor) string {
	full := host + "/" + name + ":1"
	r.Tag(full, d)
	return full
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
