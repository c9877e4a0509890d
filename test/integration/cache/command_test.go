package cache

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// outcome is what a command left.
type outcome struct {
	stdout, stderr string
	status         int
}

// node is a containerd and the binary that it runs as its shim.
type node struct {
	*testenv.Containerd
	binary string
}

func start(t *testing.T, version string) node { return nodeOf(t, testenv.StartContainerd(t, version)) }

func nodeOf(t *testing.T, c *testenv.Containerd) node {
	t.Helper()
	return node{c, filepath.Join(testenv.ShimDir(t), "containerd-shim-wazero-v1")}
}

// run runs a command of the binary on the node's cache and images.
func run(t *testing.T, c node, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.binary, args...)
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "TMPDIR=" + t.TempDir(), "WAZERO_SHIM_CACHE_DIR=" + c.CacheDir(),
		"CONTAINERD_ADDRESS=" + c.Address(), "CONTAINERD_NAMESPACE=" + c.Namespace,
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Error(err) // not Fatal: this may be another goroutine than the test's
	}
	return outcome{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// succeed is run for what has to work.
func succeed(t *testing.T, c node, args ...string) string {
	t.Helper()
	o := run(t, c, args...)
	if o.status != 0 || o.stderr != "" {
		t.Fatalf("%q: %+v", args, o)
	}
	return o.stdout
}

// precompiled is a line of precompile --json.
type precompiled struct {
	Source, Name, Digest, Outcome, Error string
}

// precompile returns what was done, by the name in the image or else the source.
func precompile(t *testing.T, c node, args ...string) (map[string]precompiled, int) {
	t.Helper()
	o := run(t, c, append([]string{"precompile", "--json"}, args...)...)
	if o.stderr != "" {
		t.Errorf("stderr: %s", o.stderr)
	}
	all := map[string]precompiled{}
	for line := range strings.Lines(o.stdout) {
		var p precompiled
		must(t, json.Unmarshal([]byte(line), &p))
		key := p.Name
		if key == "" {
			key = p.Source
		}
		if _, twice := all[key]; twice {
			t.Errorf("%s twice", key)
		}
		all[key] = p
	}
	return all, o.status
}

// entry is one of cache ls --json.
type entry struct {
	Key, Module, Problem string
	Current              bool
	InUse                bool `json:"in_use"`
}

// list returns the cache's entries by the digest of the module.
func list(t *testing.T, c node) map[string]entry {
	t.Helper()
	var entries []entry
	must(t, json.Unmarshal([]byte(succeed(t, c, "cache", "ls", "--json")), &entries))
	all := map[string]entry{}
	for _, e := range entries {
		all[e.Module] = e
	}
	return all
}
