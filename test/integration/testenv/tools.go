package testenv

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Versions of containerd that the shim supports, oldest first.
func Versions() []string {
	return []string{"1.6.38", "1.7.35", "2.0.0", "2.1.4", "2.2.0", "2.3.0", Newest}
}

// Newest is the containerd that tests use which are not about versions.
const Newest = "2.4.2"

// Versions of the other tools; test/tools knows how to build exactly these.
const (
	runcVersion      = "1.5.2"
	dockerdVersion   = "2.0.0-beta.24"
	dockerCLIVersion = "29.9.1"
	buildxVersion    = "0.37.2"

	kubernetesVersion = "1.36.3"
	etcdVersion       = "3.6.8"
	criToolsVersion   = "1.34.0"

	// QEMUVersion is what Debian offers.
	QEMUVersion = "debian12"
)

// Runtime is our shim's name, RuncRuntime that of containerd's own.
const (
	Runtime     = "io.containerd.wazero.v1"
	RuncRuntime = "io.containerd.runc.v2"
)

// Root is the top directory of the repository.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(filepath.Dir(file))))
}

// Tool returns the directory of a tool, which is built if it is not there yet.
func Tool(t testing.TB, name, version string) string {
	t.Helper()
	tools := []string{"go", "run", "."}
	if program := os.Getenv(toolsEnv); program != "" {
		tools = []string{program}
	}
	return output(t, filepath.Join(Root(), "test", "tools"), tools[0], append(tools[1:], "get", name, version)...)
}

// ShimDir builds the shim from the working tree and returns its directory.
// $WAZERO_SHIM_DIR overrides it, to test another build.
func ShimDir(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv("WAZERO_SHIM_DIR"); dir != "" {
		return dir
	}
	output(t, Root(), "make", "-s", "build")
	return filepath.Join(Root(), "bin")
}

// output runs a command in dir and returns its trimmed standard output.
func output(t testing.TB, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	var stderr bytes.Buffer
	cmd.Dir, cmd.Stderr = dir, &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", cmd, err, out, stderr.Bytes())
	}
	return strings.TrimSpace(string(out))
}

// goarch is the architecture in the names of OCI and Go.
func goarch() string { return runtime.GOARCH }
