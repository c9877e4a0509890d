package direct

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/network"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/oci"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/options"
)

// least is a configuration with nothing but what a container needs.
const least = `{
	"ociVersion": "1.2.0",
	"root": {"path": "rootfs"},
	"process": {"user": {"uid": 0, "gid": 0}, "args": ["/x.wasm"], "cwd": "/"},
	"mounts": [{"destination": "/dev", "type": "tmpfs", "source": "tmpfs"}],
	"linux": {
		"cgroupsPath": "/direct-test/c",
		"namespaces": [{"type": "mount"}, {"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}]
	}
}`

func leastSpec(t testing.TB) *specs.Spec {
	t.Helper()
	var spec specs.Spec
	check(t, json.Unmarshal([]byte(least), &spec))
	return &spec
}

// read makes a bundle of a configuration.
func read(t testing.TB, config []byte) (*oci.Config, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.json")
	check(t, os.WriteFile(file, config, 0o600))
	return oci.ReadSpec(file)
}

// reason is why a configuration goes to runc.
func reason(t testing.TB, config []byte) string {
	t.Helper()
	c, err := read(t, config)
	if err != nil {
		t.Fatalf("%v in %s", err, config)
	}
	return outside(c, options.Options{}, &job.Job{Network: network.Full})
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	check(t, err)
	return data
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// requireReason asserts that a reason is none, or begins with what is wanted.
func requireReason(t *testing.T, got, want string) {
	t.Helper()
	if (want == "") != (got == "") || !strings.HasPrefix(got, want) {
		t.Errorf("the reason for runc is %q, want %q", got, want)
	}
}
