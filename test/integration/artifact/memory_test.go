package artifact

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/client"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// padded is the guest with a custom section of so many bytes behind it.
func padded(t *testing.T, bytes int) []byte {
	t.Helper()
	m := append(append([]byte(nil), multi(t)...), 0)
	for v := uint32(bytes + 2); ; v >>= 7 { // its size, in LEB128
		if v < 0x80 {
			m = append(m, byte(v))
			break
		}
		m = append(m, byte(v)|0x80)
	}
	return append(append(m, 1, 'x'), make([]byte, bytes)...)
}

// TestMemoryIsGivenBack: while the guest runs nobody holds the module's copy, and the
// shim's heap is small again.
func TestMemoryIsGivenBack(t *testing.T) {
	n := start(t, testenv.Newest)
	for name, layer := range map[string]layer{
		"plain": {cncfLayer, "", padded(t, 40<<20)},
		"zstd":  {cncfLayer, "", zstded(t, padded(t, 41<<20))},
	} {
		image := n.registry.tag(name, n.registry.picture(t, raw("/app", layer)))
		n.pull(t, image)
		c := n.container(t, name, image, "", []string{"/", "sleep"})
		k, stdout, _, err := task(t, n, c)
		must(t, err)
		_, ctx := n.Client(t)
		must(t, k.Start(ctx))
		stdout.WaitFor(t, "sleeping")
		testenv.Eventually(t, "end of the module's copy", func() error { return holders(t) })
		testenv.Eventually(t, "small shim", func() error { return smallShim(t, n) })
		_, err = k.Delete(ctx, client.WithProcessKill)
		must(t, err)
	}
}

// holders is an error if a process has the copy.
func holders(t *testing.T) error {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/fd/*")
	must(t, err)
	for _, l := range links {
		if target, _ := os.Readlink(l); strings.Contains(target, "memfd:module.wasm") {
			return fmt.Errorf("%s has it", l)
		}
	}
	return nil
}

// smallShim is an error if the shim's own memory is larger than 10 MiB.
func smallShim(t *testing.T, n *node) error {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	must(t, err)
	found := false
	for _, l := range lines {
		cmdline, _ := os.ReadFile(l)
		if !strings.Contains(string(cmdline), "-namespace\x00"+n.Namespace) || !strings.Contains(string(cmdline), "\x00-socket\x00") {
			continue
		}
		found = true
		status, _ := os.ReadFile(filepath.Join(filepath.Dir(l), "status"))
		var kib int
		for line := range strings.Lines(string(status)) {
			_, _ = fmt.Sscanf(line, "RssAnon: %d kB", &kib)
		}
		if kib == 0 || kib > 10<<10 {
			return fmt.Errorf("the shim has %d KiB", kib)
		}
	}
	if !found {
		return fmt.Errorf("there is no shim")
	}
	return nil
}
