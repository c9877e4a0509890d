package shim

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	bootapi "github.com/containerd/containerd/api/runtime/bootstrap/v1"
	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
	"google.golang.org/protobuf/proto"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// limit for one call or one thing to happen; generous, CI has two slow CPUs.
var limit = testenv.Slow(30 * time.Second)

// version is the name of the Task service that a containerd uses: version 2 up
// to containerd 2.2, version 3 since 2.3.
type version string

const (
	v2 version = "containerd.task.v2.Task"
	v3 version = "containerd.task.v3.Task"
)

// daemon is a containerd as far as shims notice it.
type daemon struct {
	installation
	version
	t      testing.TB
	dir    string // all files are below it
	ns     string // unique; cgroups are below it too
	ttrpc  string // TTRPC_ADDRESS
	events *recorder
}

// newDaemon starts one. When the test ends nothing of its containers may be left.
func newDaemon(t testing.TB, v version) *daemon {
	t.Helper()
	inst := install(t)
	dir, err := os.MkdirTemp(scratch, "w")
	must(t, err)
	d := &daemon{installation: inst, version: v, t: t, dir: dir, ns: "shim-test-" + filepath.Base(dir), ttrpc: filepath.Join(dir, "c.sock.ttrpc")}
	d.events = newRecorder(t, d.ttrpc) // lives longer than the shims, which send a last event
	t.Cleanup(d.cleanup)
	must(t, os.Mkdir(d.socketDir(), 0o700))
	return d
}

func (d *daemon) socketDir() string { return filepath.Join(d.dir, "s") }

// eachVersion runs a test for both versions of the Task service.
func eachVersion(t *testing.T, test func(*testing.T, *daemon)) {
	t.Parallel()
	for name, v := range map[string]version{"v2": v2, "v3": v3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newDaemon(t, v))
		})
	}
}

// kind is what a container runs.
type kind struct {
	testenv.Kind
	multi string // path of the guest
}

func kinds() []kind {
	return []kind{{testenv.Wasm, multiWasm}, {testenv.Native, multiNative}}
}

// eachGuest runs a test for both versions and both kinds of guests.
func eachGuest(t *testing.T, test func(*testing.T, *daemon, kind)) {
	t.Parallel()
	for _, k := range kinds() {
		for name, v := range map[string]version{"v2": v2, "v3": v3} {
			t.Run(string(k.Kind)+"/"+name, func(t *testing.T) {
				t.Parallel()
				test(t, newDaemon(t, v), k)
			})
		}
	}
}

// cacheDir of all shims: each guest is compiled once for all tests. It is on the
// file system of the tests' own, which goes with them.
const cacheDir = "/run/code"

// command is the shim with an action, as containerd calls it.
func (d *daemon) command(ctx context.Context, c *container, action string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, d.shim, "-namespace", d.ns, "-address", filepath.Join(d.dir, "c.sock"),
		"-publish-binary", "/usr/bin/containerd", "-id", c.id, "-bundle", c.bundle, action)
	if action == "start" {
		cmd.Args = slices.DeleteFunc(cmd.Args, func(a string) bool { return a == "-bundle" || a == c.bundle })
	}
	cmd.Dir = c.bundle
	cmd.Env = []string{"PATH=" + d.path, "MAX_SHIM_VERSION=2", "GOMAXPROCS=2", "GRPC_ADDRESS=" + filepath.Join(d.dir, "c.sock"), "NAMESPACE=" + d.ns, "SHIM_SOCKET_DIR=" + d.socketDir(),
		"WAZERO_SHIM_CACHE_DIR=" + cacheDir}
	if d.ttrpc != "" {
		cmd.Env = append(cmd.Env, "TTRPC_ADDRESS="+d.ttrpc)
	}
	return cmd
}

// start runs the action and returns the path of the shim's socket.
func (d *daemon) start(c *container) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := d.command(ctx, c, "start")
	if d.version == v3 {
		params, err := proto.Marshal(&bootapi.BootstrapParams{
			InstanceID: c.id, Namespace: d.ns, ContainerdGrpcAddress: filepath.Join(d.dir, "c.sock"),
			ContainerdTtrpcAddress: d.ttrpc, LogLevel: bootapi.LogLevel_LOG_LEVEL_DEBUG, SocketDir: proto.String(d.socketDir()),
		})
		if err != nil {
			return "", err
		}
		cmd.Stdin = bytes.NewReader(params)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("start: %w: %s", err, out)
	}
	address := string(out)
	if d.version == v3 {
		var result bootapi.BootstrapResult
		if err := proto.Unmarshal(out, &result); err != nil || result.Version != 3 || result.Protocol != "ttrpc" {
			return "", fmt.Errorf("start answered %q (%v)", out, err)
		}
		address = result.Address
	}
	path, ok := strings.CutPrefix(address, "unix://")
	if !ok {
		return "", fmt.Errorf("start answered %q", out)
	}
	return path, nil
}

// cleanUp runs the delete action.
func (d *daemon) cleanUp(c *container) (*taskapi.DeleteResponse, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := d.command(ctx, c, "delete")
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil || stderr.Len() > 0 {
		return nil, fmt.Errorf("delete: %w: %s", err, stderr.Bytes())
	}
	var r taskapi.DeleteResponse
	return &r, proto.Unmarshal(stdout.Bytes(), &r)
}

// cleanup fails the test if anything of the daemon's containers is left.
func (d *daemon) cleanup() {
	t := d.t
	var left []string
	for deadline := time.Now().Add(testenv.Slow(20 * time.Second)); ; time.Sleep(20 * time.Millisecond) {
		left = slices.Concat(d.processes(), d.mounts(), d.cgroups(), d.sockets())
		if len(left) == 0 || time.Now().After(deadline) {
			break
		}
	}
	if len(left) > 0 {
		t.Errorf("%d things are left behind:\n  %s", len(left), strings.Join(left, "\n  "))
	}
	parents, err := filepath.Glob("/sys/fs/cgroup/*/" + d.ns)
	must(t, err)
	for _, dir := range append(parents, "/sys/fs/cgroup/"+d.ns) {
		if err := os.Remove(dir); err != nil && !os.IsNotExist(err) {
			t.Error(err)
		}
	}
	if err := os.RemoveAll(d.dir); err != nil {
		t.Error(err)
	}
}

// processes are those that have the daemon's name in their command line, their
// working directory or their cgroup.
func (d *daemon) processes() []string {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	var found []string
	for _, dir := range dirs {
		cmdline, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		cgroup, _ := os.ReadFile(filepath.Join(dir, "cgroup"))
		cwd, _ := os.Readlink(filepath.Join(dir, "cwd"))
		if all := string(cmdline) + " " + cwd + " " + string(cgroup); strings.Contains(all, d.dir+"/") || strings.Contains(all, d.ns) {
			found = append(found, "process "+filepath.Base(dir)+": "+strings.ReplaceAll(string(cmdline), "\x00", " "))
		}
	}
	return found
}

func (d *daemon) mounts() []string {
	data, _ := os.ReadFile("/proc/self/mountinfo")
	var found []string
	for line := range strings.Lines(string(data)) {
		if strings.Contains(line, d.dir+"/") {
			found = append(found, "mount "+line)
		}
	}
	return found
}

func (d *daemon) cgroups() []string {
	v1, _ := filepath.Glob("/sys/fs/cgroup/*/" + d.ns + "/*")
	unified, _ := filepath.Glob("/sys/fs/cgroup/" + d.ns + "/*")
	return slices.DeleteFunc(append(v1, unified...), func(path string) bool {
		fi, err := os.Stat(path)
		return err != nil || !fi.IsDir()
	})
}

func (d *daemon) sockets() []string {
	var found []string
	_ = filepath.WalkDir(d.socketDir(), func(path string, e fs.DirEntry, err error) error {
		if err == nil && path != d.socketDir() {
			found = append(found, "socket "+path)
		}
		return nil
	})
	return found
}

// readLog reads a bundle's log, as containerd does.
func readLog(t testing.TB, bundle string) *testenv.Buffer {
	path := filepath.Join(bundle, "log")
	must(t, syscall.Mkfifo(path, 0o600))
	f, err := os.OpenFile(path, os.O_RDWR|syscall.O_NONBLOCK, 0)
	must(t, err)
	var log testenv.Buffer
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(&log, f)
	}()
	t.Cleanup(func() { f.Close(); <-done })
	return &log
}
