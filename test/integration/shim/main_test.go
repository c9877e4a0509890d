// Package shim drives the built shim binary as containerd does, but without a
// containerd: it makes bundles, runs start, speaks ttrpc, receives events. So
// it can ask in an order that containerd never would, and be a containerd that
// refuses events, hangs, or is away.
package shim

import (
	"flag"
	"os"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

func TestMain(m *testing.M) {
	// Most of a test is waiting, for processes and for time to pass. On a slow
	// machine it is not, and the shim's own limits are what they are.
	if testenv.Slow(1) == 1 {
		if err := flag.Set("test.parallel", "8"); err != nil {
			panic(err)
		}
	}
	os.Exit(testenv.Main(m))
}
