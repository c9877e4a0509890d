package cli

import (
	"slices"
	"strings"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/containerdapi"
)

func TestShortNamesAreCompleted(t *testing.T) {
	t.Parallel()
	const digest = "@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	for name, want := range map[string]string{
		"app":                         "docker.io/library/app:latest",
		"app:1":                       "docker.io/library/app:1",
		"me/app":                      "docker.io/me/app:latest",
		"me/dir/app:1":                "docker.io/me/dir/app:1",
		"docker.io/app":               "docker.io/library/app:latest",
		"docker.io/me/app:1":          "docker.io/me/app:1",
		"example.com/app":             "example.com/app:latest",
		"localhost/app":               "localhost/app:latest",
		"registry:5000/app":           "registry:5000/app:latest",
		"registry:5000/dir/app:2":     "registry:5000/dir/app:2",
		"app" + digest:                "docker.io/library/app" + digest,
		"app:1" + digest:              "docker.io/library/app:1" + digest,
		"example.com/me/app" + digest: "example.com/me/app" + digest,
	} {
		if got := fullName(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
		if got := fullName(want); got != want {
			t.Errorf("%s: %s", want, got)
		}
	}
}

func TestSimilarNamesAreFound(t *testing.T) {
	t.Parallel()
	var all []containerdapi.Image
	for _, name := range []string{
		"docker.io/library/hello:1", "example.com/hello:latest", "docker.io/library/hello-go:latest", "docker.io/library/other:1",
		"example.com/hello\x1b[31m:1", "sha256:0123", "a/hello@sha256:01",
	} {
		all = append(all, containerdapi.Image{Name: name})
	}
	got := similar(all, fullName("hello"))
	want := []string{"a/hello@sha256:01", "docker.io/library/hello:1", "example.com/hello:latest", `"example.com/hello\x1b[31m:1"`, "docker.io/library/hello-go:latest"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if got := similar(all, fullName("nothing")); len(got) > 0 {
		t.Errorf("got %q", got)
	}
}

// containerd starts the binary with flags before any word, or with none.
func TestContainerdNeverMeansTheCommands(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"-namespace ns -address /c.sock -publish-binary /usr/bin/containerd -id precompile start",
		"-namespace ns -id cache -bundle /b delete", "-info", "-v", "", "start", "delete",
	} {
		if Wants(strings.Fields(line)) {
			t.Errorf("%q", line)
		}
	}
	for _, line := range []string{"precompile", "precompile x", "cache", "cache ls"} {
		if !Wants(strings.Fields(line)) {
			t.Errorf("%q", line)
		}
	}
}
