package runner_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
)

const examplesDir = "../../examples"

// example is an entry of examples.json, see examples/README.md.
type example struct {
	Name   string
	Module string
	Args   []string
	Mounts []struct {
		Source, Destination string
		ReadOnly            bool
	}
	Stdout          string
	StderrContains  []string
	StopAfterStdout bool
	Signal          string
	Status          int
}

func TestExamplesDoWhatTheirManifestSays(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join(examplesDir, "examples.json"))
	must(t, err)
	var list []example
	must(t, json.Unmarshal(data, &list))
	out := t.TempDir()
	if text, err := exec.Command(filepath.Join(examplesDir, "build.sh"), out).CombinedOutput(); err != nil {
		t.Fatalf("build the examples: %v\n%s", err, text)
	}
	for _, e := range list {
		for name, code := range map[string]origin{"warm": warm, "cold": cold} {
			t.Run(e.Name+"-"+name, func(t *testing.T) {
				t.Parallel()
				e.check(t, filepath.Join(out, e.Name, e.Module), code)
			})
		}
	}
}

func (e example) check(t *testing.T, module string, code origin) {
	stdout, err := os.ReadFile(filepath.Join(examplesDir, e.Stdout))
	must(t, err)
	j := job.Job{Args: e.Args}
	for _, m := range e.Mounts {
		source, err := filepath.Abs(filepath.Join(examplesDir, m.Source))
		must(t, err)
		j.Preopens = append(j.Preopens, job.Preopen{Guest: m.Destination, Host: source})
	}
	p := startReady(t, module, options{job: j, code: code})
	p.letGo()
	if e.StopAfterStdout {
		p.awaitStdout(string(stdout))
		must(t, p.cmd.Process.Signal(unixSignal(t, e.Signal)))
	}
	p.expect(e.Status, string(stdout))
	for _, s := range e.StderrContains {
		if !strings.Contains(p.stderr.String(), s) {
			t.Errorf("stderr lacks %q:\n%s", s, p.stderr.String())
		}
	}
}

// awaitStdout waits until the guest has written at least this.
func (p *process) awaitStdout(text string) {
	p.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if strings.HasPrefix(p.stdout.String(), text) {
			return
		}
	}
	p.t.Fatalf("stdout is %q, waited for %q\nstderr: %s", p.stdout.String(), text, p.stderr.String())
}

func unixSignal(t *testing.T, name string) syscall.Signal {
	t.Helper()
	s := unix.SignalNum(name)
	if s == 0 {
		t.Fatalf("signal %q is not known", name)
	}
	return s
}
