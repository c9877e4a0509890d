package shim

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// scratch is the parent of all directories of the tests: /run is an empty tmpfs
// of the tests' own mount namespace, and short enough for sockets.
const scratch = "/run"

// What is in the root filesystem of every container.
const (
	multiWasm   = "/multi.wasm"
	multiNative = "/multi"
	winsize     = "/winsize"   // native: prints the size of its terminal
	bigModule   = "/big.wasm"  // takes seconds to compile
	textFile    = "/notes.txt" // cannot be run
)

// installation is what a node has before the first container.
type installation struct {
	shim   string // path of the binary
	path   string // $PATH
	rootfs string
}

var node struct {
	sync.Once // builds and copies once for all tests
	installation
}

// install returns the shim, runc and the guests.
func install(t testing.TB) installation {
	t.Helper()
	node.Do(func() {
		node.rootfs = filepath.Join(scratch, "rootfs")
		for _, dir := range []string{"proc", "dev", "sys", "tmp", "etc"} {
			must(t, os.MkdirAll(filepath.Join(node.rootfs, dir), 0o755))
		}
		var guests testenv.Guests
		for name, data := range map[string][]byte{
			multiWasm:   guests.Build(t, "multi", testenv.Wasm),
			multiNative: guests.Build(t, "multi", testenv.Native),
			winsize:     guests.Build(t, "winsize", testenv.Native),
		} {
			must(t, os.WriteFile(filepath.Join(node.rootfs, name), data, 0o755))
		}
		must(t, os.WriteFile(filepath.Join(node.rootfs, textFile), []byte("not a program\n"), 0o755))
		copyFile(t, filepath.Join(testenv.Tool(t, "esbuild", "0.27.2"), "esbuild.wasm"), filepath.Join(node.rootfs, bigModule))
		shim := testenv.ShimDir(t)
		node.path = strings.Join([]string{shim, testenv.Tool(t, "runc", "1.5.2"), os.Getenv("PATH")}, ":")
		node.shim = filepath.Join(shim, "containerd-shim-wazero-v1")
	})
	if node.shim == "" {
		t.Fatal("the installation has failed, see another test")
	}
	return node.installation
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	must(t, err)
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	must(t, err)
	_, err = io.Copy(out, in)
	must(t, err)
	must(t, out.Close())
}

// script writes a shell script and returns its path.
func script(t testing.TB, dir, name, text string) string {
	t.Helper()
	sh, err := exec.LookPath("sh")
	must(t, err)
	path := filepath.Join(dir, name)
	must(t, os.WriteFile(path, []byte("#!"+sh+"\n"+text), 0o755))
	return path
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
