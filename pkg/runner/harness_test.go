package runner_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/internal/testprogram"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
)

// binary is the path of the runner that TestMain builds.
var binary string

func TestMain(m *testing.M) {
	if os.Getenv(denyCodeEnv) != "" {
		denyCode()
	}
	os.Exit(testprogram.Main(m, func(dir string) { binary = filepath.Join(dir, "runner") }, "./testdata/runner"))
}

// process is a runner that a test plays the shim for.
type process struct {
	t       testing.TB
	cmd     *exec.Cmd
	control *job.Control
	socket  *os.File
	stdin   *os.File
	stdout  output
	stderr  output
	waited  sync.Once
	status  int
}

// output collects what a process writes while others look at it.
type output struct {
	mu   sync.Mutex
	data bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.data.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.data.String()
}

// options change how a runner is started.
type options struct {
	job   job.Job
	stdin string
	// openStdin leaves stdin open without data.
	openStdin bool
	// stdout and stderr replace the buffers.
	stdout, stderr *os.File
	attr           *syscall.SysProcAttr
	extra          []*os.File
	// wrapper is put before the runner's own command line.
	wrapper []string
	// code is where the module's code is from: warm, if it can be compiled.
	code origin
}

// start runs module (a path) and returns when the runner has reported.
func start(t testing.TB, module string, o options) (*process, job.Report) {
	t.Helper()
	p := launch(t, module, o)
	report, err := p.control.ReadReport()
	if err != nil {
		status := p.wait()
		t.Fatalf("the runner reported nothing (%v), status %d\n%s%s", err, status, p.stdout.String(), p.stderr.String())
	}
	return p, report
}

func launch(t testing.TB, module string, o options) *process {
	t.Helper()
	j := o.job
	if j.Module == "" {
		j.Module = "/" + filepath.Base(module)
	}
	if j.Export == "" {
		j.Export = "_start"
	}
	if j.Args == nil {
		j.Args = []string{j.Module}
	}
	ours, theirs := socketPair(t)
	p := &process{t: t, socket: ours, control: job.NewControl(ours)}
	p.cmd = exec.Command(job.ExecPath)
	p.cmd.Args = append(append(append([]string{}, o.wrapper...), job.ExecPath), j.Args...)
	if o.wrapper != nil {
		p.cmd.Path = o.wrapper[0]
	}
	role := job.RoleRunner
	if j.CGI != nil {
		role = job.RoleServer
	}
	p.cmd.Env = []string{job.RoleEnv + "=" + role, job.OneThread}
	p.cmd.ExtraFiles = append([]*os.File{open(t, binary), theirs, jobFile(t, &j), open(t, module)}, o.extra...)
	p.cmd.SysProcAttr = o.attr
	p.cmd.Stdin = strings.NewReader(o.stdin)
	if o.openStdin {
		r, w, err := os.Pipe()
		must(t, err)
		p.cmd.Stdin, p.stdin = r, w
		t.Cleanup(func() { r.Close(); w.Close() })
	}
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	if o.stdout != nil {
		p.cmd.Stdout = o.stdout
	}
	if o.stderr != nil {
		p.cmd.Stderr = o.stderr
	}
	must(t, p.cmd.Start())
	theirs.Close()
	p.provide(o.code, module)
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		p.wait()
	})
	return p
}

// run starts a module that must be ready, lets it go and waits for its end.
func run(t testing.TB, module string, o options) *process {
	t.Helper()
	p := startReady(t, module, o)
	p.letGo()
	p.wait()
	return p
}

func startReady(t testing.TB, module string, o options) *process {
	t.Helper()
	p, report := start(t, module, o)
	if report.Kind != job.Ready {
		t.Fatalf("report is %+v, not ready", report)
	}
	return p
}

func (p *process) letGo() {
	p.t.Helper()
	must(p.t, p.control.Send(job.Go, nil))
}

// wait returns the exit status, 128+n for a signal.
func (p *process) wait() int {
	p.waited.Do(func() {
		timer := time.AfterFunc(time.Minute, func() { _ = p.cmd.Process.Kill() })
		defer timer.Stop()
		err := p.cmd.Wait()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			ws := exit.Sys().(syscall.WaitStatus)
			p.status = ws.ExitStatus()
			if ws.Signaled() {
				p.status = 128 + int(ws.Signal())
			}
		} else if err != nil {
			p.t.Errorf("wait for the runner: %v", err)
		}
	})
	return p.status
}

// expect compares the end of a guest.
func (p *process) expect(status int, stdout string) {
	p.t.Helper()
	if got := p.wait(); got != status || p.stdout.String() != stdout {
		p.t.Errorf("status %d, stdout %q; want %d, %q\nstderr: %s", got, p.stdout.String(), status, stdout, p.stderr.String())
	}
}

func socketPair(t testing.TB) (ours, theirs *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	must(t, unix.SetNonblock(fds[0], true)) // for deadlines
	ours, theirs = os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs")
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	return ours, theirs
}

func jobFile(t testing.TB, j *job.Job) *os.File {
	t.Helper()
	data, err := j.Encode()
	must(t, err)
	fd, err := unix.MemfdCreate("job", unix.MFD_CLOEXEC)
	must(t, err)
	file := os.NewFile(uintptr(fd), "job")
	t.Cleanup(func() { file.Close() })
	_, err = file.Write(data)
	must(t, err)
	return file
}

func open(t testing.TB, path string) *os.File {
	t.Helper()
	file, err := os.Open(path)
	must(t, err)
	t.Cleanup(func() { file.Close() })
	return file
}

// wat assembles a module in the text format.
func wat(t testing.TB, name, source string, flags ...string) string {
	t.Helper()
	dir := t.TempDir()
	in, out := filepath.Join(dir, name+".wat"), filepath.Join(dir, name+".wasm")
	must(t, os.WriteFile(in, []byte(source), 0o600))
	cmd := exec.Command("wat2wasm", append(flags, "-o", out, in)...)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("wat2wasm (of the package wabt): %v\n%s", err, text)
	}
	return out
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
