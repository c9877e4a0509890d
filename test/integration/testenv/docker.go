package testenv

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Docker is a private dockerd on top of a private containerd. Its bridge is in
// the tests' own network namespace.
type Docker struct {
	Containerd *Containerd

	dir    string
	cli    string
	env    []string
	daemon *exec.Cmd
}

// StartDocker starts both daemons. When the test ends they are stopped, and the
// test fails if anything is left.
func StartDocker(t testing.TB) *Docker {
	t.Helper()
	bin, cli := Tool(t, "dockerd", dockerdVersion), Tool(t, "docker-cli", dockerCLIVersion)
	c := StartContainerd(t, Newest)
	d := &Docker{Containerd: c, dir: c.file("d"), cli: filepath.Join(cli, "docker")}
	if err := os.Mkdir(d.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	d.env = append(c.environ(), "DOCKER_HOST=unix://"+d.file("s"), "DOCKER_CONFIG="+d.file("config"))
	plugins := d.file("config/cli-plugins")
	if err := os.MkdirAll(plugins, 0o700); err != nil {
		t.Fatal(err)
	}
	buildx := filepath.Join(Tool(t, "docker-buildx", buildxVersion), "buildx")
	if err := os.Symlink(buildx, filepath.Join(plugins, "docker-buildx")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.cleanup(t) })
	d.start(t, bin)
	return d
}

func (d *Docker) file(name string) string { return filepath.Join(d.dir, name) }

func (d *Docker) start(t testing.TB, bin string) {
	t.Helper()
	log, err := os.Create(d.file("log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if err := os.WriteFile(d.file("daemon.json"), []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tini, err := exec.LookPath("tini-static")
	if err != nil {
		t.Fatalf("docker run --init needs tini-static, run make tools: %v", err)
	}
	c := d.Containerd
	cmd := exec.Command(filepath.Join(bin, "dockerd"),
		"--host", "unix://"+d.file("s"), "--pidfile", d.file("pid"), "--config-file", d.file("daemon.json"),
		"--data-root", d.file("data"), "--exec-root", d.file("exec"),
		"--containerd", c.Address(), "--containerd-namespace", c.Namespace, "--containerd-plugins-namespace", c.Namespace+"-p",
		// Below our own cgroup, which is checked for leaks.
		"--cgroup-parent", "/"+c.Namespace,
		"--init-path", tini, "--userland-proxy-path", filepath.Join(bin, "docker-proxy"),
		"--iptables=false", "--ip6tables=false", "--bip", "10.213.0.1/24", "--debug")
	cmd.Env = c.environ()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatalf("start dockerd: %v", err)
	}
	d.daemon = cmd
	for deadline := time.Now().Add(2 * limit); ; time.Sleep(100 * time.Millisecond) {
		_, err := d.Try("version")
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("dockerd does not answer: %v\n%s", err, tail(d.Log(), 30))
		}
	}
}

// Log is dockerd's log so far.
func (d *Docker) Log() string {
	data, _ := os.ReadFile(d.file("log"))
	return string(data)
}

// cleanup stops the daemon; containerd's cleanup then looks for leaks.
func (d *Docker) cleanup(t testing.TB) {
	if d.daemon == nil {
		return
	}
	if out, err := d.Try("ps", "--all", "--quiet"); err != nil || out != "" {
		t.Errorf("containers left: %q (%v)", out, err)
		_, _ = d.Try(append([]string{"rm", "--force"}, strings.Fields(out)...)...)
	}
	_ = d.daemon.Process.Signal(syscall.SIGTERM)
	if err := d.daemon.Wait(); err != nil {
		t.Errorf("dockerd ended with %v", err)
	}
	// dockerd leaves the mount of its own network namespace, and, where mounts are
	// not shared with it, one of its directory on itself.
	for _, mount := range []string{"exec/netns/default", "data"} {
		_ = syscall.Unmount(d.file(mount), syscall.MNT_DETACH)
	}
	if t.Failed() {
		t.Logf("--- end of dockerd's log\n%s", tail(d.Log(), 40))
	}
}

// Result is what a docker command left.
type Result struct {
	Stdout, Stderr string
	Status         int
}

// Command is docker with arguments, not started yet.
func (d *Docker) Command(args ...string) *exec.Cmd {
	cmd := exec.Command(d.cli, args...)
	cmd.Env = d.env
	return cmd
}

// Do runs docker for at most two minutes, whatever its exit status.
func (d *Docker) Do(t testing.TB, stdin string, args ...string) Result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := d.Command(args...)
	if stdin != "" {
		cmd.Stdin = strings.NewReader(stdin)
	}
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := runFor(2*time.Minute, cmd)
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() < 0 {
		t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return Result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// Try runs docker and returns its trimmed output, or an error with its stderr.
func (d *Docker) Try(args ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := d.Command(args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := runFor(2*time.Minute, cmd); err != nil {
		return "", fmt.Errorf("docker %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(stdout.String()), nil
}

// Docker runs docker and returns its trimmed output; an error fails the test.
func (d *Docker) Docker(t testing.TB, args ...string) string {
	t.Helper()
	out, err := d.Try(args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Build makes an image with docker build from a Dockerfile and the files
// beside it.
func (d *Docker) Build(t testing.TB, tag, dockerfile string, files map[string]File, flags ...string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, f := range files {
		if err := os.WriteFile(filepath.Join(dir, name), f.Data, os.FileMode(f.Permissions())); err != nil {
			t.Fatal(err)
		}
	}
	d.Docker(t, append(append([]string{"build", "--quiet", "--tag", tag}, flags...), dir)...)
}

// Container is one that runs in the background with our runtime.
type Container struct {
	Name string
	d    *Docker
}

// RunDetached starts a container in the background; the test removes it.
func (d *Docker) RunDetached(t testing.TB, args ...string) *Container {
	t.Helper()
	return d.RunAnother(t, "", args...)
}

// RunAnother is RunDetached for tests that need more than one container.
func (d *Docker) RunAnother(t testing.TB, suffix string, args ...string) *Container {
	t.Helper()
	c := &Container{Name: containerName(t) + suffix, d: d}
	t.Cleanup(func() {
		if _, err := d.Try("rm", "--force", c.Name); err != nil {
			t.Errorf("remove: %v", err)
		}
	})
	d.Docker(t, append([]string{"run", "--detach", "--name", c.Name, "--runtime", Runtime}, args...)...)
	return c
}

// containerName makes a valid name out of the test's.
func containerName(t testing.TB) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, t.Name())
}

// Inspect evaluates a template of docker inspect.
func (c *Container) Inspect(t testing.TB, format string) string {
	t.Helper()
	return c.d.Docker(t, "inspect", "--format", format, c.Name)
}

// Logs are stdout and stderr of the container so far.
func (c *Container) Logs(t testing.TB) Result {
	t.Helper()
	return c.d.Do(t, "", "logs", c.Name)
}

// WaitLog waits until the container has printed text.
func (c *Container) WaitLog(t testing.TB, text string) {
	t.Helper()
	Eventually(t, fmt.Sprintf("output %q", text), func() error {
		if r := c.Logs(t); !strings.Contains(r.Stdout, text) {
			return fmt.Errorf("logs: %+v", r)
		}
		return nil
	})
}

// WaitFor waits until inspect's template gives want.
func (c *Container) WaitFor(t testing.TB, format, want string) {
	t.Helper()
	Eventually(t, format+" = "+want, func() error {
		if got := c.Inspect(t, format); got != want {
			return fmt.Errorf("it is %q", got)
		}
		return nil
	})
}

// Pid of the container's first process, in the tests' pid namespace.
func (c *Container) Pid(t testing.TB) string {
	t.Helper()
	return c.Inspect(t, "{{.State.Pid}}")
}
