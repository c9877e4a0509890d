// Package suites runs tests of packages in a virtual machine.
package suites

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/vm"
)

// Suite is a package's tests, and which of them.
type Suite struct {
	Pkg  string // its directory in the repository
	Run  string // for -test.run
	Skip string // for -test.skip
	Env  []string
}

// Machine is a virtual machine with what runs in it.
type Machine struct {
	// VM says what is special about it. Where its files are is not for the caller.
	VM     vm.Machine
	Suites []Suite
	// Guests are the programs for the tests' images, which are built here: the
	// machine is slow.
	Guests map[string][]testenv.Kind
	// Tools are those of test/tools that the suites need, which are made here.
	Tools []string
	// Path are directories for the front of $PATH.
	Path  []string
	Limit time.Duration // for all
}

// slow is how many times as long everything may take in a machine.
const slow = "10"

// Run boots the machine and runs the suites, each as a subtest.
func (m Machine) Run(t *testing.T) {
	t.Helper()
	if !vm.Supported {
		t.Skip("there is no virtual machine for this architecture")
	}
	dir, err := os.MkdirTemp("", "vm-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	tools := buildTools(t, dir)
	for _, name := range m.Tools {
		run(t, "", tools, "get", name)
	}
	v := m.VM
	v.Dir, v.Work, v.Shared = testenv.Tool(t, "qemu", testenv.QEMUVersion), t.TempDir(), []string{dir}
	// The checkout and the tools may be below /tmp as well.
	for _, needed := range []string{testenv.Root(), filepath.Dir(v.Dir)} {
		if strings.HasPrefix(needed, "/tmp/") {
			v.Shared = append(v.Shared, needed)
		}
	}
	shim := testenv.ShimDir(t)
	if strings.HasPrefix(shim, "/tmp/") {
		v.Shared = append(v.Shared, shim)
	}
	env := append(os.Environ(),
		"TMPDIR=/tmp", "GOPROXY=off", "WAZERO_TEST_SLOW="+slow,
		"PATH="+strings.Join(append(m.Path, os.Getenv("PATH")), ":"),
		"WAZERO_SHIM_DIR="+shim, "WAZERO_TEST_TOOLS="+tools, "WAZERO_TEST_GUESTS="+buildGuests(t, dir, m.Guests))
	if v.Systemd {
		env = append(env, "WAZERO_TEST_SYSTEMD=1")
	}
	jobs := make([]vm.Job, len(m.Suites))
	for i, s := range m.Suites {
		jobs[i] = s.job(t, dir, env)
	}

	ctx, cancel := context.WithTimeout(t.Context(), m.Limit)
	defer cancel()
	r := &record{machine: t.Name(), out: os.Stdout, begin: time.Now(), ends: make(map[string]end)}
	err = v.Run(ctx, jobs, r.hear)
	t.Logf("the machine was on for %s", time.Since(r.begin).Round(time.Second))
	for _, j := range jobs {
		t.Run(j.Name, func(t *testing.T) { r.check(t, j.Name) })
	}
	if err != nil {
		t.Fatal(err)
	}
}

// job compiles the tests of a suite.
func (s Suite) job(t *testing.T, dir string, env []string) vm.Job {
	t.Helper()
	in := filepath.Join(testenv.Root(), s.Pkg)
	binary := filepath.Join(dir, strings.ReplaceAll(s.Pkg, "/", "-")+".test")
	run(t, in, "go", "test", "-c", "-o", binary, ".")
	return vm.Job{
		Name: s.Pkg, Dir: in, Env: append(env, s.Env...),
		Args: []string{binary, "-test.v", "-test.timeout=0", "-test.run=" + s.Run, "-test.skip=" + s.Skip},
	}
}

// buildTools compiles the command that knows where tools are: the machine is not
// to call the compiler for that.
func buildTools(t *testing.T, dir string) string {
	t.Helper()
	out := filepath.Join(dir, "tools")
	run(t, filepath.Join(testenv.Root(), "test", "tools"), "go", "build", "-o", out, ".")
	return out
}

func buildGuests(t *testing.T, dir string, guests map[string][]testenv.Kind) string {
	t.Helper()
	out := filepath.Join(dir, "guests")
	var g testenv.Guests
	for name, kinds := range guests {
		for _, kind := range kinds {
			path := filepath.Join(out, string(kind), name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, g.Build(t, name, kind), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	return out
}

func run(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
}
