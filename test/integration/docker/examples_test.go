package docker

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// examples builds each example by its own Dockerfile and runs it as its README
// says.
func examples(t *testing.T, d *testenv.Docker) {
	dir := filepath.Join(testenv.Root(), "examples")
	built := t.TempDir()
	if out, err := exec.Command(filepath.Join(dir, "build.sh"), built).CombinedOutput(); err != nil {
		t.Fatalf("build the examples: %v\n%s", err, out)
	}
	data, err := os.ReadFile(filepath.Join(dir, "examples.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all []example
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		t.Run(e.Name, func(t *testing.T) {
			want, err := os.ReadFile(filepath.Join(dir, e.Stdout))
			if err != nil {
				t.Fatal(err)
			}
			tag := "example-" + e.Name
			d.Docker(t, "build", "--quiet", "--tag", tag, filepath.Join(built, e.Name))
			c := d.RunDetached(t, append(e.mounts(dir), tag)...)
			if e.StopAfterStdout {
				c.WaitLog(t, string(want))
				d.Docker(t, "kill", "--signal", e.Signal, c.Name)
			}
			if status := d.Docker(t, "wait", c.Name); status != e.Status.String() {
				t.Errorf("exit status is %s, want %s", status, e.Status)
			}
			logs := c.Logs(t)
			if logs.Stdout != string(want) {
				t.Errorf("stdout is %q, want %q", logs.Stdout, want)
			}
			for _, part := range e.StderrContains {
				if !strings.Contains(logs.Stderr, part) {
					t.Errorf("stderr has no %q:\n%s", part, logs.Stderr)
				}
			}
		})
	}
}

// example is an entry of examples.json.
type example struct {
	Name   string
	Mounts []struct {
		Source, Destination string
		ReadOnly            bool
	}
	Stdout          string
	StderrContains  []string
	Status          json.Number
	StopAfterStdout bool
	Signal          string
}

func (e example) mounts(dir string) []string {
	var flags []string
	for _, m := range e.Mounts {
		v := filepath.Join(dir, m.Source) + ":" + m.Destination
		if m.ReadOnly {
			v += ":ro"
		}
		flags = append(flags, "--volume", v)
	}
	return flags
}
