// Package testenv gives tests a containerd of their own: built from source, in
// its own directory, and in namespaces of its own, so that nothing of the host
// is touched and nothing can stay behind.
package testenv

import (
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/isolated"
)

// Main runs the tests in namespaces of their own; call it from TestMain.
func Main(m *testing.M) int { return isolated.Run(m.Run) }
