// Package sandbox runs pods without a pause container, those of a runtime with
// sandboxer = "shim", with every containerd that can do so, through its CRI. How
// the service behaves when asked in another way is tested in package shim.
package sandbox

import (
	"os"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }
