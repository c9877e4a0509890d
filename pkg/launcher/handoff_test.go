package launcher

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/oci"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newHandoff returns a Handoff after the runner's start, and the runner's end of
// the control socket.
func newHandoff(t *testing.T) (*Handoff, *net.UnixConn) {
	t.Helper()
	h := prepared(t)
	conn, err := net.FileConn(h.Files()[job.FDControl-job.FDBinary])
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	h.Inherited()
	return h, conn.(*net.UnixConn)
}

// receive takes an order, and the content of the file that came with it.
func receive(t *testing.T, runner *job.Control) (job.Order, string) {
	t.Helper()
	order, file, err := runner.Receive()
	must(t, err)
	if file == nil {
		return order, ""
	}
	defer file.Close()
	content, err := io.ReadAll(file)
	must(t, err)
	return order, string(content)
}

func prepared(t *testing.T) *Handoff {
	t.Helper()
	path := filepath.Join(t.TempDir(), "app.wasm")
	must(t, os.WriteFile(path, []byte("the module"), 0o600))
	module, err := os.Open(path)
	must(t, err)
	defer module.Close() // the Handoff has its own
	h, err := NewHandoff(&oci.Plan{Kind: oci.Wasm, Module: module, Job: &job.Job{Module: "/app.wasm", Args: []string{"a", "b"}}})
	must(t, err)
	t.Cleanup(h.Close)
	return h
}

// run is Run that must not hang.
func run(t *testing.T, h *Handoff) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := h.Run(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		t.Fatal("Run hangs")
	}
	return err
}

func TestRunnerInheritsWhatTheProtocolSays(t *testing.T) {
	t.Parallel()
	files := prepared(t).Files()
	if len(files) != job.FDModule-job.FDBinary+1 {
		t.Fatalf("%d files", len(files))
	}
	for i, f := range files {
		if _, err := f.WriteAt([]byte("x"), 0); err == nil && job.FDBinary+i != job.FDControl {
			t.Errorf("descriptor %d can be written to", job.FDBinary+i)
		}
	}
	j, err := job.Decode(files[job.FDJob-job.FDBinary])
	if err != nil || j.Module != "/app.wasm" || strings.Join(j.Args, " ") != "a b" {
		t.Errorf("the job is %+v, %v", j, err)
	}
	module, err := io.ReadAll(files[job.FDModule-job.FDBinary])
	if err != nil || string(module) != "the module" {
		t.Errorf("the module is %q, %v", module, err)
	}
}

func TestServersProgramIsMissed(t *testing.T) {
	t.Parallel()
	h, err := NewHandoff(&oci.Plan{Kind: oci.Wasm, Job: &job.Job{CGI: &job.CGI{}}})
	if h != nil || !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "install "+job.ServerProgram) {
		t.Errorf("%v, %v", h, err)
	}
}

func TestReadyRunnerRunsWhenToldTo(t *testing.T) {
	t.Parallel()
	h, conn := newHandoff(t)
	runner := job.NewControl(conn)
	must(t, h.Provide(t.Context(), nil))
	must(t, runner.Report(job.Report{Kind: job.Ready, Code: job.CodeCompiled, Load: 1500}))
	must(t, run(t, h))
	for _, want := range []job.Order{job.NoCode, job.Go} {
		if order, _ := receive(t, runner); order != want {
			t.Errorf("order %s, want %s", order, want)
		}
	}
	if h.Stop(unix.SIGTERM) {
		t.Error("it is stopped by an order, though nobody has asked for that")
	}
	if l := h.Loaded(); l.Code != job.CodeCompiled || l.Time != 1500*time.Millisecond || l.Stale != nil {
		t.Errorf("loaded %+v", l)
	}
	must(t, conn.Close())
	if h.OutOfMemory() {
		t.Error("out of memory")
	}
}

func TestGracefulRunnerIsToldToStopOnceItRuns(t *testing.T) {
	t.Parallel()
	h, conn := newHandoff(t)
	h.graceful = true
	runner := job.NewControl(conn)
	must(t, h.Provide(t.Context(), nil))
	if h.Stop(unix.SIGTERM) {
		t.Error("told to stop before it runs")
	}
	must(t, runner.Report(job.Report{Kind: job.Ready}))
	must(t, run(t, h))
	if h.Stop(unix.SIGHUP) || !h.Stop(unix.SIGINT) || h.Stop(unix.SIGTERM) {
		t.Error("it has to be told once, by SIGINT")
	}
	for _, want := range []job.Order{job.NoCode, job.Go, job.Interrupt} {
		if order, _ := receive(t, runner); order != want {
			t.Errorf("order %s, want %s", order, want)
		}
	}
}

func TestRefusalReachesTheUser(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(io.Closer){
		"runner waits":   func(io.Closer) {},
		"runner is gone": func(c io.Closer) { c.Close() },
	} {
		h, conn := newHandoff(t)
		must(t, job.NewControl(conn).Report(job.Report{Kind: job.Failed, Message: "/app.wasm is \x1b[31mbad\n"}))
		end(conn)
		err := run(t, h)
		if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "/app.wasm is  [31mbad") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHostileRunnerIsRefused(t *testing.T) {
	t.Parallel()
	for name, says := range map[string]string{
		"nothing":   "",
		"no line":   "ready",
		"no JSON":   "ready\n",
		"an array":  "[1]\n",
		"zeros":     strings.Repeat("\x00", 100) + "\n",
		"a kind":    `{"kind":"root"}` + "\n",
		"no kind":   "{}\n",
		"endless":   `{"kind":"failed","message":"` + strings.Repeat("a", 1<<20),
		"deep JSON": strings.Repeat("[", 16000) + "\n",
		"wrong":     `{"kind":7}` + "\n",
	} {
		h, conn := newHandoff(t)
		go func() {
			_, _ = io.WriteString(conn, says)
			_ = conn.Close()
		}()
		line := strings.Contains(says, "\n") || len(says) > 1000 // else it just hung up
		if err := run(t, h); errors.Is(err, job.ErrNonsense) != line || IsRunnerGone(err) == line {
			t.Errorf("%s: %v", name, err)
		}
		if h.OutOfMemory() {
			t.Errorf("%s: out of memory", name)
		}
	}
}

func TestNoMoreThanOneAnswerCounts(t *testing.T) {
	t.Parallel()
	h, conn := newHandoff(t)
	runner := job.NewControl(conn)
	must(t, runner.Report(job.Report{Kind: job.Ready}))
	for range 1000 { // nobody takes these
		must(t, runner.Report(job.Report{Kind: job.Failed, Message: "no"}))
	}
	must(t, run(t, h))
	must(t, conn.Close())
	if h.OutOfMemory() {
		t.Error("out of memory")
	}
}

func TestDeadRunnerIsNoticed(t *testing.T) {
	t.Parallel()
	h, conn := newHandoff(t)
	must(t, conn.Close())
	if err := run(t, h); !IsRunnerGone(err) {
		t.Error(err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	h, _ := newHandoff(t)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if err := h.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestOutOfMemoryIsKnownAtTheEnd(t *testing.T) {
	t.Parallel()
	h, conn := newHandoff(t)
	runner := job.NewControl(conn)
	must(t, runner.Report(job.Report{Kind: job.Ready}))
	must(t, run(t, h))
	must(t, runner.Report(job.Report{Kind: job.OutOfMemory}))
	must(t, conn.Close())
	if !h.OutOfMemory() {
		t.Error("not known")
	}
}

func TestOutOfMemoryWhileLoading(t *testing.T) {
	t.Parallel()
	h, conn := newHandoff(t)
	must(t, job.NewControl(conn).Report(job.Report{Kind: job.OutOfMemory}))
	must(t, conn.Close())
	if err := run(t, h); err == nil || !strings.Contains(err.Error(), "memory limit") || !h.OutOfMemory() {
		t.Error(err)
	}
}

// A guest that escapes may leave a process behind that holds the socket.
func TestSocketThatStaysOpenHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	h, conn := newHandoff(t)
	must(t, job.NewControl(conn).Report(job.Report{Kind: job.Ready}))
	must(t, run(t, h))
	begin := time.Now()
	if h.OutOfMemory() || time.Since(begin) > 5*time.Second {
		t.Errorf("it took %s", time.Since(begin))
	}
}

func TestCloseEndsTheRunnerThatWaits(t *testing.T) {
	t.Parallel()
	h, conn := newHandoff(t)
	h.Close()
	h.Close() // as often as they like
	if _, _, err := job.NewControl(conn).Receive(); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	if err := run(t, h); !IsRunnerGone(err) {
		t.Error(err)
	}
}

// Not parallel: it counts the descriptors of the process.
func TestHandoffLeavesNoDescriptors(t *testing.T) {
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		must(t, err)
		return len(entries)
	}
	round := func() {
		h := prepared(t)
		// Nobody receives it.
		code := &source{t: t, code: "the code"}
		must(t, h.Provide(t.Context(), code))
		must(t, code.last.Close())
		h.Close()
		<-h.ended
	}
	round()
	before := count()
	for range 5 {
		round()
	}
	if after := count(); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func TestDefaultActionsAreThoseOfLinux(t *testing.T) {
	t.Parallel()
	want := map[unix.Signal]action{
		0: proceed, unix.SIGCONT: proceed,
		unix.SIGCHLD: ignore, unix.SIGURG: ignore, unix.SIGWINCH: ignore,
		unix.SIGSTOP: stop, unix.SIGTSTP: stop, unix.SIGTTIN: stop, unix.SIGTTOU: stop,
	}
	for sig := unix.Signal(0); sig <= 64; sig++ { // all others: signal(7)
		expected, special := want[sig]
		if !special {
			expected = terminate
		}
		if got := defaultAction(sig); got != expected {
			t.Errorf("signal %d: %d, want %d", int(sig), got, expected)
		}
	}
}
