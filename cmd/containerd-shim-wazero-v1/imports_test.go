package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/containerd-wazero/containerd-shim-wazero/"

// http is what it takes to serve HTTP.
var http = []string{"net/http", "crypto/tls", "crypto/x509", "mime/multipart"}

// TestImports keeps the roles apart and the binary lean: every shim and every
// runner pays for what is linked.
func TestImports(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		who    string
		never  []string // packages, with what is below them if they end in /...
		reason string
	}{
		{"cmd/...", []string{"github.com/containerd/containerd/...", "github.com/opencontainers/go-digest", "google.golang.org/protobuf/types/descriptorpb", "google.golang.org/protobuf/types/known/timestamppb", "google.golang.org/grpc", "html/template", "github.com/containerd/cgroups/...", "github.com/cilium/..."}, "it costs every process of the binary time and memory"},
		{"cmd/containerd-shim-wazero-v1", http, "it costs every process of the binary time and memory: see containerd-wazero-cgi"},
		{"cmd/containerd-wazero-cgi", []string{"github.com/containerd/...", module + "pkg/shim/..."}, "a runner needs nothing of the shim"},
		{"pkg/runner/...", http, "a runner that serves nobody has nothing to do with HTTP"},
		{"pkg/shim/...", []string{"github.com/tetratelabs/wazero/..."}, "the shim is root and must not decode Wasm"},
		{"pkg/codecache/...", []string{"github.com/tetratelabs/wazero/..."}, "the shim is root and must not decode Wasm"},
		{"pkg/cli/...", []string{"github.com/tetratelabs/wazero/..."}, "commands run as root and must not decode Wasm"},
		{"pkg/early", []string{"strings", "unicode", "reflect", "fmt", "net", "google.golang.org/...", "github.com/containerd/...", "golang.org/..."}, "start and delete would wait for more packages: see package quick"},
		{"pkg/early/guest", []string{"github.com/containerd/...", "google.golang.org/...", module + "pkg/shim/..."}, "a runner would wait for more packages"},
		{"pkg/early/pod", []string{"github.com/containerd/...", "google.golang.org/...", "github.com/tetratelabs/...", module + "pkg/shim/..."}, "a pod's processes would wait for more packages"},
		{"pkg/runner/...", []string{"github.com/containerd/...", module + "pkg/shim/..."}, "a runner needs nothing of the shim"},
		{"pkg/compiler/...", []string{"github.com/containerd/...", module + "pkg/shim/..."}, "a compiler needs nothing of the shim"},
	} {
		all := imports(t, "./../../"+tc.who)
		for _, pattern := range tc.never {
			for _, found := range all {
				below, everything := strings.CutSuffix(pattern, "/...")
				if found == pattern || everything && (found == below || strings.HasPrefix(found, below+"/")) {
					t.Errorf("%s imports %s: %s", tc.who, found, tc.reason)
				}
			}
		}
	}
}

// imports lists all that is linked with packages.
func imports(t *testing.T, pattern string) []string {
	t.Helper()
	linked := list(t, "-deps", pattern)
	if len(linked) == 0 {
		t.Fatalf("no package is %s", pattern)
	}
	return linked
}

func list(t *testing.T, args ...string) []string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %s: %v", strings.Join(args, " "), err)
	}
	return strings.Fields(string(out))
}
