package cli

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/internal/testprogram"
)

// built is the program that TestMain builds.
var built string

func TestMain(m *testing.M) {
	os.Exit(testprogram.Main(m, func(dir string) { built = filepath.Join(dir, "cli") }, "./testdata/cli"))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// node is a directory with a cache, and files beside it.
type node struct {
	t   testing.TB
	dir string
	env []string
}

func newNode(t testing.TB) *node {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("the cache belongs to root: run this test as root")
	}
	return &node{t: t, dir: t.TempDir()}
}

func (n *node) file(name string) string { return filepath.Join(n.dir, name) }

func (n *node) write(name string, data []byte) string {
	n.t.Helper()
	must(n.t, os.WriteFile(n.file(name), data, 0o600))
	return n.file(name)
}

// outcome is what a command left.
type outcome struct {
	stdout, stderr string
	status         int
}

// run runs a command on the node's cache, in its directory.
func (n *node) run(args ...string) outcome {
	n.t.Helper()
	return n.exec(n.command(args...))
}

func (n *node) command(args ...string) *exec.Cmd {
	cmd := exec.Command(built, args...)
	cmd.Dir = n.dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + n.dir, "WAZERO_SHIM_CACHE_DIR=" + n.file("cache")}, n.env...)
	return cmd
}

func (n *node) exec(cmd *exec.Cmd) outcome {
	n.t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		n.t.Fatal(err)
	}
	return outcome{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// succeed is run for what has to work.
func (n *node) succeed(args ...string) string {
	n.t.Helper()
	o := n.run(args...)
	if o.status != 0 || o.stderr != "" {
		n.t.Fatalf("%q: %+v", args, o)
	}
	return o.stdout
}

// fail is run for what must fail, with all of these words.
func (n *node) fail(status int, words []string, args ...string) outcome {
	n.t.Helper()
	o := n.run(args...)
	if o.status != status {
		n.t.Errorf("%q: status %d, want %d: %+v", args, o.status, status, o)
	}
	for _, w := range words {
		if !strings.Contains(o.stderr, w) {
			n.t.Errorf("%q: %q is missing in %q", args, w, o.stderr)
		}
	}
	return o
}

// module is one that does nothing, and can be told from others by its name.
func module(name string) []byte {
	m := []byte("\x00asm\x01\x00\x00\x00" +
		"\x01\x04\x01\x60\x00\x00" + // a type: no parameters, no results
		"\x03\x02\x01\x00" + // a function of it
		"\x07\x0a\x01\x06_start\x00\x00" + // exported
		"\x0a\x04\x01\x02\x00\x0b") // its code: end
	return append(m, append([]byte{0, byte(1 + len(name)), byte(len(name))}, name...)...) // a custom section
}
