package artifact

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// TestPrecompile: raw modules are found by precompile, and what it has compiled is
// what containers run.
func TestPrecompile(t *testing.T) {
	n := start(t, testenv.Newest)
	m := multi(t)
	for i, p := range map[string]picture{
		"plain":  cncf(m),
		"packed": raw("/app", layer{cncfLayer, "", gzipped(t, append(append([]byte(nil), m...), 0, 2, 1, 'p'))}),
	} {
		image := n.registry.tag(i, n.registry.picture(t, p))
		n.pull(t, image)
		cmd := exec.Command(filepath.Join(testenv.ShimDir(t), "containerd-shim-wazero-v1"),
			"precompile", "--json", "--address", n.Address(), "--namespace", n.Namespace, image)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + t.TempDir(), "WAZERO_SHIM_CACHE_DIR=" + n.CacheDir()}
		out, err := cmd.Output()
		var done struct{ Digest, Outcome string }
		if err != nil || json.Unmarshal(out, &done) != nil || done.Outcome != "compiled" {
			t.Fatalf("%s: %s, %v", i, out, err)
		}
		if out := n.run(t, i, image, "", []string{"/", "echo", "x"}); out != "x\n" {
			t.Errorf("%s: %q", i, out)
		}
		n.awaitLog(t, "module started", "outcome=hit", "digest="+done.Digest[:12]) // what was compiled
	}
}
