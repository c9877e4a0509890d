// Package profiles runs containers under profiles of AppArmor, by both launchers of
// the shim.
package profiles

import (
	"fmt"
	"os"
	"testing"

	"github.com/containerd/containerd/api/types/runtimeoptions/v1"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// machineEnv says that the kernel has AppArmor and is there for these tests, which
// load profiles into it.
const machineEnv = "WAZERO_TEST_APPARMOR"

func TestMain(m *testing.M) {
	if os.Getenv(machineEnv) == "" {
		fmt.Println("these tests run in a virtual machine, see test/integration/apparmor")
		return
	}
	os.Exit(testenv.Main(m))
}

var guests testenv.Guests

// module is the guest, see guests/witness.
const module = "/witness.wasm"

// witness is the image of all containers. Everybody may read its files.
func witness(t *testing.T) testenv.Image {
	t.Helper()
	return testenv.Image{
		Name: "test.local/witness:1",
		Files: map[string]testenv.File{
			module:         {Data: guests.Build(t, "witness", testenv.Wasm)},
			"/public/file": {Data: []byte("public\n"), Mode: 0o644},
			"/secret/file": {Data: []byte("secret\n"), Mode: 0o644},
		},
		Config: v1.ImageConfig{Entrypoint: []string{module}},
	}
}

// start starts a containerd that has the image. It leaves it to the shim how
// containers are made.
func start(t *testing.T) *testenv.Containerd {
	t.Helper()
	c := testenv.StartContainerd(t, testenv.Newest, testenv.WithEnv("WAZERO_SHIM_LAUNCHER=auto"))
	c.Import(t, witness(t))
	return c
}

// launchers of the shim.
var launchers = []string{"runc", "direct"}

// withLauncher is for testenv.Spec.
func withLauncher(name string) any {
	return &runtimeoptions.Options{ConfigBody: []byte(fmt.Sprintf("launcher = %q\n", name))}
}
