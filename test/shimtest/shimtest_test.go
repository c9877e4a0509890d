// Package shimtest runs containerd's conformance suite for shims against ours,
// twice: with the suite's native guest, and with the same commands compiled to
// Wasm, so that every behaviour is also proven through wazero.
//
// It needs root and runc on PATH, but no containerd. "make test-shimtest" calls
// ./run, which sees to that. By hand:
//
//	PATH=<directory of runc>:$PATH go test -count=1 . -shim <path of the binary>
//
// The stress suite works until a minute before the timeout:
//
//	go test -count=1 -timeout 2m -run 'TestStressWasm/Lifecycle' . -shim … -stress
//
// Its other part, Exec, cannot pass with any shim that keeps containerd's rules,
// containerd's own runc shim included: it wants stdin to end when its writer is
// gone, which would cut off a client that attaches later. Only CloseIO ends stdin,
// as the suite itself says at its LargeStdioRoundTrip.
package shimtest

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/containerd/shimtest"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/runtime-spec/specs-go"
)

func TestMain(m *testing.M) {
	flag.String("shim", "", "path of containerd-shim-wazero-v1")
	flag.Bool("stress", false, "run the stress suite; choose the part by -run …/Lifecycle")
	flag.Parse()
	// The suite sends exec specs by this name, as containerd's client does.
	major := strconv.Itoa(specs.VersionMajor)
	typeurl.Register(&specs.Process{}, "types.containerd.io", "opencontainers/runtime-spec", major, "Process")
	os.Exit(m.Run())
}

func flagValue(name string) string { return flag.Lookup(name).Value.String() }

// config copies the shim: the suite counts the processes of a path, and others
// may be using the original.
func config(t *testing.T) shimtest.Config {
	t.Helper()
	path := flagValue("shim")
	if path == "" {
		t.Fatal("no shim: give its path with -shim")
	}
	if os.Getuid() != 0 {
		t.Fatal("needs root")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(os.TempDir(), "containerd-shim-wazero-v1")
	if err := os.WriteFile(path, data, 0o700); err != nil {
		t.Fatal(err)
	}
	return shimtest.Config{ShimBinary: path}
}

// useTempDir gives the test a place that no other process uses, by which
// snapshot knows what is ours. It is short, because sockets are in it.
func useTempDir(t *testing.T) {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "st")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	t.Setenv("TMPDIR", dir)
	t.Setenv("WAZERO_SHIM_CACHE_DIR", filepath.Join(dir, "code"))
}

// guest is the program of the containers.
type guest struct{ goos, goarch, pkg string }

func native() guest { return guest{"linux", "", "github.com/containerd/shimtest/cmd/testbin"} }
func wasm() guest   { return guest{"wasip1", "wasm", "./guest"} }

// use makes the suite run g.
func use(t *testing.T, g guest) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "testbin")
	cmd := exec.Command("go", "build", "-o", out, g.pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+g.goos)
	if g.goarch != "" {
		cmd.Env = append(cmd.Env, "GOARCH="+g.goarch)
	}
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the guest: %v\n%s", err, output)
	}
	t.Setenv("SHIMTEST_TESTBIN", out)
}

func TestNative(t *testing.T) { conform(t, native()) }
func TestWasm(t *testing.T)   { conform(t, wasm()) }

func conform(t *testing.T, g guest) {
	useTempDir(t)
	c := config(t)
	use(t, g)
	t.Run("Run", func(t *testing.T) { leavesNothing(t); shimtest.NewRunSuite(c).Run(t) })
	t.Run("Exec", func(t *testing.T) { leavesNothing(t); shimtest.NewExecSuite(c).Run(t) })
	t.Run("OOM", func(t *testing.T) { leavesNothing(t); shimtest.NewOOMSuite(c).Run(t) })
}

func TestStressNative(t *testing.T) { stress(t, native()) }
func TestStressWasm(t *testing.T)   { stress(t, wasm()) }

func stress(t *testing.T, g guest) {
	if flagValue("stress") != "true" {
		t.Skip("takes its time: ask for it with -stress")
	}
	useTempDir(t)
	c := config(t)
	use(t, g)
	leavesNothing(t)
	shimtest.NewStressSuite(c, shimtest.StressOptions{}).Run(t)
}

// leavesNothing adds to the suite's own check for shim processes: no process of
// a container, no mount and no cgroup is left either.
func leavesNothing(t *testing.T) {
	t.Helper()
	before := snapshot(t)
	t.Cleanup(func() {
		for what := range snapshot(t) {
			if !before[what] {
				t.Errorf("left behind: %s", what)
			}
		}
	})
}

// snapshot describes what containers consist of, as far as the host shows it.
func snapshot(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	ours := os.TempDir() + "/"
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, ours) {
			found["mount "+line] = true
		}
	}
	// A process in a container has mounts of its own, with the file system of
	// the container among them.
	host, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range processes {
		if ns, err := os.Readlink(path + "/ns/mnt"); err != nil || ns == host {
			continue
		}
		if data, err := os.ReadFile(path + "/mountinfo"); err == nil && strings.Contains(string(data), ours) {
			found["process "+filepath.Base(path)] = true
		}
	}
	name, _, _ := strings.Cut(strings.ToLower(t.Name()), "/")
	for _, level := range []string{"*", "*/*"} {
		cgroups, err := filepath.Glob("/sys/fs/cgroup/" + level + "/" + name + "-*")
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range cgroups {
			found["cgroup "+path] = true
		}
	}
	return found
}
