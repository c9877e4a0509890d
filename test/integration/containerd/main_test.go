// Package containerd drives the built shim with containerd.
package containerd

import (
	"os"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }
