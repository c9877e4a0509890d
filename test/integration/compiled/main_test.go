// Package compiled tests the code cache through the built shim and a containerd:
// what is compiled when, where, and what becomes of a damaged cache.
package compiled

import (
	"os"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }
