// Package testprogram builds the programs that tests of a package start.
package testprogram

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// Main is for TestMain. It builds main packages into a directory that it tells
// before it runs the tests, and returns the exit status. They are built as the shim
// is, without cgo: a test binary has cgo wherever a C compiler is installed.
func Main(m *testing.M, built func(dir string), packages ...string) int {
	dir, err := os.MkdirTemp("", "testprogram-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", append([]string{"build", "-trimpath", "-ldflags=-s -w", "-o", dir + "/"}, packages...)...)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build %q: %v\n%s", packages, err, out)
		return 1
	}
	built(dir)
	return m.Run()
}
