package direct

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/isolated"
	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

func comparisons() []comparison {
	return slices.Concat(processes(), descriptors(), mounts(), namespaces(), resources(), hooks())
}

func TestLaunchersMakeTheSameContainers(t *testing.T) {
	c := testenv.StartContainerd(t, testenv.Newest)
	c.Import(t, witness(t))
	t.Run("group", func(t *testing.T) {
		for _, x := range comparisons() {
			t.Run(x.name, func(t *testing.T) {
				t.Parallel()
				x.run(t, c)
			})
		}
	})
}

// TestEveryFieldIsCompared finds each field that docs/oci-spec.md calls direct in
// a comparison.
func TestEveryFieldIsCompared(t *testing.T) {
	compared := map[string]bool{}
	for _, x := range comparisons() {
		for _, field := range x.fields {
			compared[field] = true
		}
	}
	document, err := os.ReadFile(filepath.Join(testenv.Root(), "docs", "oci-spec.md"))
	must(t, err)
	for line := range strings.Lines(string(document)) {
		cells := strings.Split(line, "|")
		if !strings.HasPrefix(line, "| `") || !strings.HasPrefix(strings.TrimSpace(cells[2]), "direct") {
			continue
		}
		field := strings.Trim(cells[1], " `")
		if !compared[field] {
			t.Errorf("%s is not compared", field)
		}
		delete(compared, field)
	}
	for field := range compared {
		t.Errorf("%s is no field that is direct", field)
	}
}

// removeParents removes a cgroup that containers have been in, when the last one
// is gone.
func removeParents(t *testing.T, path string) {
	t.Helper()
	_ = isolated.RemoveCgroups(strings.TrimPrefix(path, "/"))
}
