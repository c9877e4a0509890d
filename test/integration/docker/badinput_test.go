package docker

import (
	"strings"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

const badDockerfile = `FROM scratch
COPY text.wasm /text.wasm
COPY component.wasm /component.wasm
COPY private.wasm /private.wasm
COPY text.wasm /dir/file
`

// TestBadInput shows that users of Docker read our sentence, and that Docker
// takes the exit status from its words: 126 for what cannot be run, 127 for
// what is not there, and 125 for all else that goes wrong before the start.
func TestBadInput(t *testing.T) {
	d := testenv.StartDocker(t)
	d.Build(t, "bad", badDockerfile, map[string]testenv.File{
		"text.wasm":      {Data: []byte("not a module\n"), Mode: 0o755},
		"component.wasm": {Data: []byte("\x00asm\x0d\x00\x01\x00"), Mode: 0o755},
		"private.wasm":   {Data: []byte("\x00asm\x01\x00\x00\x00"), Mode: 0o600},
	})
	for _, test := range []struct {
		name   string
		args   []string
		status int
		want   string
	}{
		{"missing", []string{"bad", "/gone.wasm"}, 127, `"/gone.wasm": no such file or directory: check ENTRYPOINT and CMD`},
		{"missing in PATH", []string{"bad", "gone"}, 127, `"gone": executable file not found in $PATH`},
		{"missing behind --init", []string{"--init", "bad", "/gone.wasm"}, 127, "No such file or directory"},
		{"directory", []string{"bad", "/dir"}, 126, `"/dir": is a directory: name the module in it`},
		{"no permission", []string{"--user", "1000", "bad", "/private.wasm"}, 126, `"/private.wasm" (mode 0600, owner 0:0) is closed to user 1000:0: permission denied`},
		{"text file", []string{"bad", "/text.wasm"}, 125, `"/text.wasm": is a text file without "#!" line`},
		{"component", []string{"bad", "/component.wasm"}, 125, "is a Wasm component"},
		{"component behind --init", []string{"--init", "bad", "/component.wasm"}, 125, "is a Wasm component"},
		{"no entry point", []string{"--user", "0", "bad", "/private.wasm"}, 125, `does not export a function "_start"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := d.Do(t, "", append([]string{"run", "--rm", "--runtime", testenv.Runtime}, test.args...)...)
			if r.Status != test.status || !strings.Contains(r.Stderr, test.want) {
				t.Errorf("exit status %d, want %d and %q: %s", r.Status, test.status, test.want, r.Stderr)
			}
			if r.Stdout != "" {
				t.Errorf("stdout: %q", r.Stdout)
			}
			if left := d.Docker(t, "ps", "--all", "--quiet"); left != "" {
				t.Errorf("container %s is left", left)
			}
		})
	}
	d.Docker(t, "image", "prune", "--all", "--force")
}
