// Package direct runs containers with both launchers of the shim, and compares
// what the guest sees of the host and the host of the guest: for each field of
// docs/oci-spec.md that the direct launcher understands.
package direct

import (
	"flag"
	"os"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestMain(m *testing.M) {
	// Most of a test is waiting for processes.
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	os.Exit(testenv.Main(m))
}

var guests testenv.Guests

// module is the guest, see guests/witness.
const module = "/witness.wasm"

// witness is the image of most containers: the guest and some files.
func witness(t *testing.T) testenv.Image {
	t.Helper()
	return testenv.Image{
		Name: "test.local/witness:1",
		Files: map[string]testenv.File{
			module:              {Data: guests.Build(t, "witness", testenv.Wasm)},
			"/etc/passwd":       {Data: []byte("root:x:0:0::/:\n"), Mode: 0o644},
			"/etc/link":         {Link: "../files/text"},
			"/etc/place":        {Link: "../private"},
			"/files/text":       {Data: []byte("text\n"), Mode: 0o640},
			"/files/closed":     {Data: []byte("closed\n"), Mode: 0o600},
			"/files/suid":       {Data: []byte("suid\n"), Mode: 0o4755},
			"/secret/file":      {Data: []byte("secret\n"), Mode: 0o644},
			"/private":          {Dir: true, Mode: 0o700},
			"/logs/app.log":     {Link: "/dev/stdout"},
			"/logs/error.log":   {Link: "../dev/stderr"},
			"/logs/nowhere.log": {Link: "/proc/self/nowhere"},
			"/sticky":           {Dir: true, Mode: 0o1777},
			"/public":           {Dir: true, Mode: 0o777},
			"/work":             {Dir: true},
			"/null":             {Device: &testenv.Device{Char: true, Major: 1, Minor: 3}, Mode: 0o666},
		},
		Config: v1.ImageConfig{Entrypoint: []string{module}, Env: []string{"PATH=/bin", "FROM_IMAGE=yes"}, WorkingDir: "/work"},
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
