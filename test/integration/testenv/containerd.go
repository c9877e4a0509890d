package testenv

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/isolated"
)

// Containerd is a private containerd daemon.
type Containerd struct {
	Version string
	// Dir holds all files of the daemon. Its path is short, because paths of
	// sockets are limited to 107 bytes.
	Dir string
	// Namespace is unique, so cgroups below it belong to this daemon.
	Namespace string

	bin    string // directory of containerd and ctr
	path   string // $PATH of the daemon
	config string // config.toml
	daemon *exec.Cmd
	env    []string
}

// Option changes how a daemon is started.
type Option func(*Containerd)

// WithEnv adds a variable (KEY=VALUE) to the daemon's environment.
func WithEnv(kv string) Option {
	return func(c *Containerd) { c.env = append(c.env, kv) }
}

// withConfig replaces the daemon's configuration by what make returns for its
// directory.
func withConfig(make func(dir string) string) Option {
	return func(c *Containerd) { c.config = make(c.Dir) }
}

// StartContainerd starts a containerd whose $PATH starts with our shim and runc.
// When the test ends it is stopped, and the test fails if anything is left.
func StartContainerd(t testing.TB, version string, opts ...Option) *Containerd {
	t.Helper()
	bin := Tool(t, "containerd", version)
	path := []string{ShimDir(t), bin, Tool(t, "runc", runcVersion), os.Getenv("PATH")}
	dir, err := os.MkdirTemp("", "cw-")
	if err != nil {
		t.Fatal(err)
	}
	c := &Containerd{
		Version:   version,
		Dir:       dir,
		Namespace: filepath.Base(dir),
		bin:       bin,
		path:      strings.Join(path, ":"),
	}
	c.config = isolated.ContainerdConfig(c.Dir)
	for _, o := range opts {
		o(c)
	}
	before := takeInventory(t, c)
	t.Cleanup(func() { c.cleanup(t, before) })
	if err := os.WriteFile(c.file("config.toml"), []byte(c.config), 0o600); err != nil {
		t.Fatal(err)
	}
	c.Start(t)
	return c
}

func (c *Containerd) file(name string) string { return filepath.Join(c.Dir, name) }

// Address is the path of the daemon's gRPC socket.
func (c *Containerd) Address() string { return c.file("c.sock") }

// CacheDir is where shims of this daemon keep compiled code.
func (c *Containerd) CacheDir() string { return c.file("code") }

// Log is the daemon's log so far.
func (c *Containerd) Log() string {
	data, _ := os.ReadFile(c.file("log"))
	return string(data)
}

// Start starts the daemon, for the first time or again, and waits until it answers.
func (c *Containerd) Start(t testing.TB) {
	t.Helper()
	log, err := os.OpenFile(c.file("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(c.bin, "containerd"), "--config", c.file("config.toml"))
	cmd.Env = append(c.environ(), c.env...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatalf("start containerd %s: %v", c.Version, err)
	}
	c.daemon = cmd
	for deadline := time.Now().Add(limit); ; time.Sleep(50 * time.Millisecond) {
		_, err := c.TryCtr("version")
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("containerd %s does not answer: %v\n%s", c.Version, err, c.Log())
		}
	}
}

func (c *Containerd) environ() []string {
	env := []string{"PATH=" + c.path, "HOME=" + c.Dir, "TMPDIR=" + c.Dir, "WAZERO_SHIM_CACHE_DIR=" + c.CacheDir()}
	// All suites can be run with each launcher.
	if launcher, ok := os.LookupEnv(launcherEnv); ok {
		env = append(env, launcherEnv+"="+launcher)
	}
	return env
}

// launcherEnv is the shim's default for its option launcher.
const launcherEnv = "WAZERO_SHIM_LAUNCHER"

// Kill ends the daemon by SIGKILL. Containers live on.
func (c *Containerd) Kill() { c.end(syscall.SIGKILL) }

// Stop ends the daemon in an orderly way. Containers live on.
func (c *Containerd) Stop() { c.end(syscall.SIGTERM) }

func (c *Containerd) end(sig syscall.Signal) {
	if c.daemon == nil {
		return
	}
	_ = c.daemon.Process.Signal(sig)
	_ = c.daemon.Wait() // "signal: killed" is what we want
	c.daemon = nil
}

// Pid of the daemon; 0 when it does not run.
func (c *Containerd) Pid() int {
	if c.daemon == nil {
		return 0
	}
	return c.daemon.Process.Pid
}

// Command is ctr with arguments, not started yet.
func (c *Containerd) Command(args ...string) *exec.Cmd {
	args = append([]string{"--address", c.Address(), "--namespace", c.Namespace}, args...)
	cmd := exec.Command(filepath.Join(c.bin, "ctr"), args...)
	cmd.Env = c.environ()
	return cmd
}

// Ctr runs ctr and returns its output; an error fails the test.
func (c *Containerd) Ctr(t testing.TB, args ...string) string {
	t.Helper()
	out, err := c.TryCtr(args...)
	if err != nil {
		t.Fatalf("%v\n--- containerd's log\n%s", err, tail(c.Log(), 30))
	}
	return out
}

// TryCtr runs ctr for at most two minutes and returns its standard output; the
// error has what it printed on stderr.
func (c *Containerd) TryCtr(args ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := c.Command(args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := runFor(Slow(2*time.Minute), cmd); err != nil {
		return stdout.String(), fmt.Errorf("ctr %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// runFor runs cmd and kills it after d.
func runFor(d time.Duration, cmd *exec.Cmd) error {
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		return err
	}
	timer := time.AfterFunc(d, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	return cmd.Wait()
}

// Client connects to the daemon; the context carries the namespace.
func (c *Containerd) Client(t testing.TB) (*client.Client, context.Context) {
	t.Helper()
	cl, err := client.New(c.Address(), client.WithDefaultNamespace(c.Namespace))
	if err != nil {
		t.Fatalf("connect to containerd: %v", err)
	}
	t.Cleanup(func() { cl.Close() })
	return cl, namespaces.WithNamespace(context.Background(), c.Namespace)
}

// Import makes an image known to the daemon and unpacks it.
func (c *Containerd) Import(t testing.TB, img Image) {
	t.Helper()
	archive := filepath.Join(t.TempDir(), "image.tar")
	if err := img.WriteArchive(archive); err != nil {
		t.Fatal(err)
	}
	c.Ctr(t, "images", "import", "--platform", img.OSArch(), archive)
}

// cleanup removes what tests may leave on purpose (images, stopped daemons) and
// reports what they must not leave.
func (c *Containerd) cleanup(t testing.TB, before inventory) {
	if c.daemon == nil {
		c.Start(t)
	}
	if out, err := c.TryCtr("containers", "list", "-q"); err != nil {
		t.Errorf("list containers: %v", err)
	} else if out != "" {
		t.Errorf("containers left: %s", strings.Fields(out))
	}
	c.Stop()
	checkLeaks(t, c, before)
	if t.Failed() {
		t.Logf("--- end of containerd's log\n%s", tail(c.Log(), 60))
	}
	if err := os.RemoveAll(c.Dir); err != nil {
		t.Errorf("remove %s: %v", c.Dir, err)
	}
}

// tail returns the last n lines.
func tail(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
