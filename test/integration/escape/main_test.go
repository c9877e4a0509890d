// Package escape tests what a guest can do that has left the engine's sandbox: a
// build of the shim in which native code takes the guest's place (build tag
// escapedguest, package pkg/runner/escaped) tries to get out of its container.
package escape

import (
	"os"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }
