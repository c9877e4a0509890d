package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	bootapi "github.com/containerd/containerd/api/runtime/bootstrap/v1"
	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/bundle"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/holder"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/version"
)

// buildShim builds the binary as it is released.
func buildShim(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "shim")
	cmd := exec.Command("go", "build", "-trimpath", "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}

// process runs the binary and lists the packages that it has initialised.
type process struct {
	binary, argv0, dir string
	env, args          []string
	stdin              []byte
}

func (p process) run(t *testing.T) (stdout, stderr string, initialised []string, err error) {
	t.Helper()
	var out, errOut bytes.Buffer
	cmd := exec.Command(p.binary, p.args...)
	if p.argv0 != "" {
		cmd.Args[0] = p.argv0
	}
	cmd.Env = append(append(os.Environ(), "GODEBUG=inittrace=1"), p.env...)
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = p.dir, bytes.NewReader(p.stdin), &out, &errOut
	err = cmd.Run()
	for line := range strings.Lines(errOut.String()) {
		if traced, ok := strings.CutPrefix(line, "init "); ok {
			name, _, _ := strings.Cut(traced, " ")
			initialised = append(initialised, name)
		} else {
			stderr += line
		}
	}
	if len(initialised) == 0 {
		t.Errorf("no trace of initialisation: %q", errOut.String())
	}
	return out.String(), stderr, initialised, err
}

func assertNotInitialised(t *testing.T, initialised []string, prefixes ...string) {
	t.Helper()
	for _, name := range initialised {
		for _, prefix := range prefixes {
			if strings.HasPrefix(name, prefix) {
				t.Errorf("%s is initialised", name)
			}
		}
	}
}

// heavy is what start and delete must not wait for.
var heavy = []string{"google.golang.org/", "github.com/containerd/", "github.com/opencontainers/", "github.com/tetratelabs/", "encoding/json", "net"}

func TestQuickRolesRunBeforeTheRestIsInitialised(t *testing.T) {
	t.Parallel()
	binary := buildShim(t)
	t.Run("start", func(t *testing.T) {
		t.Parallel()
		testStart(t, binary)
	})
	t.Run("delete", func(t *testing.T) {
		t.Parallel()
		dir := bundle.Dir(t.TempDir())
		for _, err := range []error{dir.WriteExit(bundle.Exit{Pid: 42, Status: 3, At: time.Now()}), dir.MarkDeleted()} {
			if err != nil {
				t.Fatal(err)
			}
		}
		p := process{binary: binary, dir: "/", args: command("-bundle", string(dir), "delete")}
		out, stderr, initialised, err := p.run(t)
		var r taskapi.DeleteResponse
		if uerr := proto.Unmarshal([]byte(out), &r); err != nil || uerr != nil || stderr != "" || r.GetPid() != 42 || r.GetExitStatus() != 3 {
			t.Errorf("%v, %v, stderr %q, answer %v", err, uerr, stderr, &r)
		}
		assertNotInitialised(t, initialised, heavy...)
	})
	t.Run("failed start", func(t *testing.T) {
		t.Parallel()
		long := "/" + strings.Repeat("x", 100)
		p := process{binary: binary, dir: t.TempDir(), env: []string{"SHIM_SOCKET_DIR=" + long}, args: command("start")}
		out, stderr, initialised, err := p.run(t)
		want := version.Runtime + ": socket directory " + long + " is too long: at most 42 bytes\n"
		if err == nil || out != "" || stderr != want {
			t.Errorf("%v, stdout %q, stderr %q", err, out, stderr)
		}
		assertNotInitialised(t, initialised, heavy...)
	})
	t.Run("unusual start", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{"annotations":[]}`), 0o600); err != nil {
			t.Fatal(err)
		}
		// What has been read for nothing is read again, and known to be valid.
		p := process{binary: binary, dir: dir, args: command("start"), stdin: []byte("\x0a\x01y\x12\x01x")}
		out, stderr, initialised, err := p.run(t)
		if err == nil || out != "" || !strings.Contains(stderr, "config.json") || !slices.Contains(initialised, "encoding/json") {
			t.Errorf("%v, stdout %q, stderr %q", err, out, stderr)
		}
	})
	t.Run("the guest's arguments", func(t *testing.T) {
		t.Parallel()
		p := process{
			binary: binary, argv0: job.ExecPath, dir: "/", env: []string{job.RoleEnv + "=" + job.RoleRunner},
			args: command("-bundle", "/nonexistent", "delete"),
		}
		out, stderr, initialised, err := p.run(t)
		if err == nil || out != "" || !strings.Contains(stderr, "only the shim can start") {
			t.Errorf("%v, stdout %q, stderr %q", err, out, stderr)
		}
		assertNotInitialised(t, initialised, "github.com/containerd/ttrpc", module+"pkg/shim/task")
	})
	for _, role := range []string{holder.Role, holder.RoleMidwife} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			p := process{binary: binary, argv0: job.ExecPath, dir: "/", env: []string{job.RoleEnv + "=" + role}, args: []string{"x"}}
			_, _, initialised, err := p.run(t)
			if code := new(exec.ExitError); !errors.As(err, &code) || code.ExitCode() != 1 {
				t.Error(err)
			}
			assertNotInitialised(t, initialised, "github.com/containerd/ttrpc", "github.com/tetratelabs/wazero/internal/engine", module+"pkg/shim/task")
		})
	}
}

func command(more ...string) []string {
	return append([]string{"-namespace", "x", "-id", "y", "-address", "/x"}, more...)
}

func testStart(t *testing.T, binary string) {
	sockets, err := os.MkdirTemp("", "s") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(sockets) })
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{"ociVersion":"1.2.0","annotations":{"a":"b"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	stdin, err := proto.Marshal(&bootapi.BootstrapParams{InstanceID: "y", Namespace: "x", SocketDir: &sockets})
	if err != nil {
		t.Fatal(err)
	}
	p := process{binary: binary, dir: dir, args: command("start"), stdin: stdin}
	out, stderr, initialised, err := p.run(t)
	t.Cleanup(func() { killDaemon(t, sockets) })
	var r bootapi.BootstrapResult
	if uerr := proto.Unmarshal([]byte(out), &r); err != nil || uerr != nil || stderr != "" || !strings.HasPrefix(r.GetAddress(), "unix://"+sockets) {
		t.Errorf("%v, %v, stderr %q, answer %v", err, uerr, stderr, &r)
	}
	assertNotInitialised(t, initialised, heavy...)
}

// killDaemon ends the shim that start has left.
func killDaemon(t *testing.T, sockets string) {
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Error(err)
	}
	found := false
	for _, file := range files {
		cmdline, _ := os.ReadFile(file)
		if !bytes.Contains(cmdline, []byte("\x00-socket\x00"+sockets+"/")) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err == nil {
			err = unix.Kill(pid, unix.SIGKILL)
		}
		if err != nil {
			t.Error(err)
		}
		found = true
	}
	if !found {
		t.Error("start has left no shim")
	}
}
