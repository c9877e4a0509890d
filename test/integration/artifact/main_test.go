// Package artifact tests images that are a Wasm module instead of a root file
// system, with real containerds and a registry of the tests' own: what containerd
// does with them by itself, and what the shim makes of them.
package artifact

import (
	"os"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// versions of containerd for tests that are long: the newest one and older series.
func versions() []string { return []string{testenv.Newest, "1.7.35", "1.6.38"} }

var guests testenv.Guests

func multi(t *testing.T) []byte {
	t.Helper()
	return guests.Build(t, "multi", testenv.Wasm)
}
