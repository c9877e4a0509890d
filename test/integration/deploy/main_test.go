// Package deploy tests that what deploy/ tells users to install works: each
// configuration is loaded by the containerds that it is for, and the objects are
// accepted, and run, by a real Kubernetes.
package deploy

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

var guests testenv.Guests

// file is a file below deploy/.
func file(name string) string { return filepath.Join(testenv.Root(), "deploy", name) }

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(file(name))
	must(t, err)
	return string(data)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
