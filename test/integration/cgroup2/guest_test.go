// Package cgroup2 runs tests of other packages in a virtual machine whose kernel
// has nothing but cgroup v2.
package cgroup2

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/vm"
)

// suite is a package's tests, and which of them.
type suite struct {
	pkg  string // its directory in the repository
	run  string // for -test.run
	skip string // for -test.skip
	env  []string
}

// guests are the programs for the tests' images, which are built here: the guest
// is slow.
var guests = map[string][]testenv.Kind{
	"multi":     {testenv.Wasm, testenv.Native},
	"toolbox":   {testenv.Native},
	"pause":     {testenv.Native},
	"winsize":   {testenv.Native},
	"webserver": {testenv.Wasm},
}

// slow is how many times as long everything may take in a guest.
const slow = "10"

// machine is a virtual machine with what runs in it.
type machine struct {
	suites  []suite
	systemd bool
	limit   time.Duration // for all
}

// sharedWith are the directories that suites need, if they are below /tmp: the
// checkout and the tools may be there as well.
func sharedWith(t *testing.T, dir string) []string {
	t.Helper()
	shared := []string{dir}
	for _, needed := range []string{testenv.Root(), filepath.Dir(testenv.Tool(t, "qemu", testenv.QEMUVersion))} {
		if strings.HasPrefix(needed, "/tmp/") {
			shared = append(shared, needed)
		}
	}
	return shared
}

// run boots the machine and runs the suites, each as a subtest.
func (m machine) run(t *testing.T) {
	t.Helper()
	if !vm.Supported {
		t.Skip("there is no virtual machine for this architecture")
	}
	dir, err := os.MkdirTemp("", "cgroup2-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	v := vm.Machine{
		Dir: testenv.Tool(t, "qemu", testenv.QEMUVersion), Work: t.TempDir(), Shared: sharedWith(t, dir), Systemd: m.systemd,
	}
	env := append(os.Environ(),
		"TMPDIR=/tmp", "GOPROXY=off", "WAZERO_TEST_SLOW="+slow,
		"WAZERO_SHIM_DIR="+testenv.ShimDir(t),
		"WAZERO_TEST_TOOLS="+buildTools(t, dir),
		"WAZERO_TEST_GUESTS="+buildGuests(t, dir))
	if m.systemd {
		env = append(env, "WAZERO_TEST_SYSTEMD=1")
	}
	jobs := make([]vm.Job, len(m.suites))
	for i, s := range m.suites {
		jobs[i] = s.job(t, dir, env)
	}

	ctx, cancel := context.WithTimeout(t.Context(), m.limit)
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
func (s suite) job(t *testing.T, dir string, env []string) vm.Job {
	t.Helper()
	in := filepath.Join(testenv.Root(), s.pkg)
	binary := filepath.Join(dir, strings.ReplaceAll(s.pkg, "/", "-")+".test")
	build(t, in, nil, "go", "test", "-c", "-o", binary, ".")
	return vm.Job{
		Name: s.pkg, Dir: in, Env: append(env, s.env...),
		Args: []string{binary, "-test.v", "-test.timeout=0", "-test.run=" + s.run, "-test.skip=" + s.skip},
	}
}

// buildTools compiles the command that knows where tools are: the guest is not
// to call the compiler for that.
func buildTools(t *testing.T, dir string) string {
	t.Helper()
	out := filepath.Join(dir, "tools")
	build(t, filepath.Join(testenv.Root(), "test", "tools"), nil, "go", "build", "-o", out, ".")
	return out
}

func buildGuests(t *testing.T, dir string) string {
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

func build(t *testing.T, dir string, env []string, args ...string) {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
}

// record shows what the guest says, and keeps how jobs have ended.
type record struct {
	machine string
	out     io.Writer
	begin   time.Time

	mu   sync.Mutex
	line []byte    // that is not complete yet
	last time.Time // the end of the job before
	ends map[string]end
}

type end struct {
	vm.End
	took time.Duration
}

func (r *record) hear(m vm.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.line = append(r.line, m.Output...)
	for {
		i := bytes.IndexByte(r.line, '\n')
		if i < 0 {
			break
		}
		// Several guests speak at once.
		fmt.Fprintf(r.out, "%s | %s", r.machine, r.line[:i+1])
		r.line = r.line[i+1:]
	}
	if m.Ended != nil {
		if r.last.IsZero() {
			r.last = r.begin
		}
		r.ends[m.Job] = end{*m.Ended, time.Since(r.last)}
		r.last = time.Now()
	}
}

// check fails the test if the job of that name has not passed.
func (r *record) check(t *testing.T, name string) {
	t.Helper()
	e, ok := r.ends[name]
	switch {
	case !ok:
		t.Fatal("it did not come to an end")
	case e.Status != 0:
		t.Errorf("exit status %d after %s %s", e.Status, e.took.Round(time.Second), e.Problem)
	default:
		t.Logf("%s", e.took.Round(time.Second))
	}
}
