package compile

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/containerd/log"
	"github.com/sirupsen/logrus"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/entry"
)

// binary is the path of the compiler that TestMain builds: without cgo, as the
// shim is built. A test binary has cgo wherever a C compiler is installed.
var binary string

func TestMain(m *testing.M) {
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "compile-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "compiler")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", binary, "./testdata/compiler")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the compiler: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// quietly is a log that a test shows when it fails.
func logOf(t testing.TB) *log.Entry {
	l := logrus.New()
	l.SetLevel(logrus.DebugLevel)
	l.SetOutput(t.Output())
	return logrus.NewEntry(l)
}

// real is a Compiler that runs the real one.
func real(t testing.TB, c Config) *Compiler {
	t.Helper()
	c.Log = logOf(t)
	r := New(c)
	r.binary = func() (*os.File, error) { return os.Open(binary) }
	return r
}

// module opens a file and hashes it.
func module(t testing.TB, path string) (codecache.Module, entry.Digest) {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	f, err := os.Open(path)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return codecache.Module{File: f, Name: "/" + filepath.Base(path)}, sha256.Sum256(data)
}

func compileFile(t testing.TB, c *Compiler, path string) (*os.File, error) {
	t.Helper()
	m, d := module(t, path)
	f, err := c.Compile(context.Background(), m, d)
	if f != nil {
		t.Cleanup(func() { f.Close() })
	}
	return f, err
}
