// Package faults kills and starves whatever takes part in the life of a
// container: containerd, the shim, the runner, the readers of output. What must
// survive does, the rest is cleaned up.
package faults

import (
	"os"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }
