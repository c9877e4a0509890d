// Package profiles runs containers under profiles of AppArmor, by both launchers of
// the shim.
package profiles

import (
	"fmt"
	"os"
	"os/exec"
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
	if err := installParser(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(testenv.Main(m))
}

// installParser puts the parser where containerd and dockerd look for it before they believe
// that there is AppArmor. The machine's files are its own.
func installParser() error {
	const expected = "/sbin/apparmor_parser"
	if _, err := os.Stat(expected); err == nil {
		return nil
	}
	parser, err := exec.LookPath("apparmor_parser")
	if err != nil {
		return err
	}
	return os.WriteFile(expected, fmt.Appendf(nil, "#!/bin/sh\nexec %s \"$@\"\n", parser), 0o755)
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
