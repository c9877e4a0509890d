package wasi

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// TestCapabilities: what a guest may do, by annotations of its container.
func TestCapabilities(t *testing.T) {
	d := testenv.StartDocker(t)
	var built testenv.Guests
	d.Build(t, "narrow", "FROM scratch\nCOPY narrow.wasm /narrow.wasm\nCOPY file /data/file\nCOPY file /cache/file\nENV A=b\nENTRYPOINT [\"/narrow.wasm\"]\n",
		map[string]testenv.File{"narrow.wasm": {Data: built.Build(t, "narrow", testenv.Wasm)}, "file": {}})
	volume := t.TempDir()
	const prefix = "io.containerd.wazero.v1."
	for name, c := range map[string]struct {
		args, want []string
	}{
		"the defaults": {
			[]string{"narrow", "/", "/data"},
			[]string{"/: read ok, write ok", "/data: read ok, write ok", "clock: fine"},
		},
		"directories": {
			[]string{"--annotation", prefix + "preopens=/data:ro,/cache", "narrow", "/", "/data", "/data/..", "/cache"},
			[]string{"/: read Bad file number", "/data: read ok, write Read-only file system", "/data/..: read Bad file number", "/cache: read ok, write ok"},
		},
		"a read-only root and a volume": {
			[]string{"--annotation", prefix + "preopens=/:ro,/volume", "--volume", volume + ":/volume", "narrow", "/", "/data", "/volume"},
			[]string{"/: read ok, write Read-only file system", "/data: read ok, write Read-only file system", "/volume: read ok, write ok"},
		},
		"a read-only volume": {
			[]string{"--annotation", prefix + "preopens=/volume", "--volume", volume + ":/volume:ro", "narrow", "/volume"},
			[]string{"/volume: read ok, write Read-only file system"},
		},
		"no environment": {
			[]string{"--annotation", prefix + "env=none", "narrow"},
			[]string{"variables: 0", "clock: fine"},
		},
		"a coarse clock": {
			[]string{"--annotation", prefix + "clock=coarse", "narrow"},
			[]string{"clock: coarse"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := d.Docker(t, append([]string{"run", "--rm", "--network=none", "--runtime", testenv.Runtime}, c.args...)...)
			for _, want := range c.want {
				if !strings.Contains(got+"\n", want) {
					t.Errorf("%q is not in\n%s", want, got)
				}
			}
		})
	}
	if _, err := os.Stat(filepath.Join(volume, "new")); err != nil {
		t.Error(err)
	}
	for annotation, want := range map[string]string{
		"preopens=/nowhere":        `preopen "/nowhere": no such file or directory`,
		"preopens=/narrow.wasm":    `preopen "/narrow.wasm": not a directory`,
		"preopens=data":            `annotation io.containerd.wazero.v1.preopens="data": "data" is no directory to open: want a list such as "/data:ro,/cache"`,
		"clock=slow":               `want "fine" or "coarse"`,
		"preopens=/narrow.wasm/..": "is no directory to open",
	} {
		_, err := d.Try("run", "--rm", "--network=none", "--runtime", testenv.Runtime, "--annotation", prefix+annotation, "narrow")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", annotation, err)
		}
	}
	d.Docker(t, "image", "prune", "--all", "--force")
	d.Containerd.RequireDirect(t)
}
