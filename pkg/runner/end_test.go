package runner_test

import (
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
)

func TestExitStatusIsTheLowByteOfTheGuests(t *testing.T) {
	t.Parallel()
	for code, status := range map[string]int{"0": 0, "3": 3, "259": 3, "-1": 255} {
		body := `(func (export "_start") (call $exit (i32.const ` + code + `)))`
		run(t, guest(t, "guest", body), options{}).expect(status, "")
	}
}

func TestRaisedSignalEndsTheGuest(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ signal, status int }{{0, 0}, {6, 134}, {9, 137}, {15, 143}, {16, 0}, {99, 28}} {
		t.Run(strconv.Itoa(c.signal), func(t *testing.T) {
			t.Parallel()
			module := wat(t, "guest", `(module
  (import "wasi_snapshot_preview1" "proc_raise" (func $raise (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start") (call $exit (call $raise (i32.const `+strconv.Itoa(c.signal)+`)))))`)
			p := run(t, module, options{})
			p.expect(c.status, "")
			if p.stderr.String() != "" {
				t.Errorf("stderr: %s", p.stderr.String())
			}
		})
	}
}

func TestTrapIsSaidWhereStandardErrorWas(t *testing.T) {
	t.Parallel()
	p := run(t, wat(t, "guest", `(module
  (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (if (call $close (i32.const 2)) (then (return)))
    unreachable))`), options{})
	p.expect(134, "")
	if !strings.Contains(p.stderr.String(), "trapped") {
		t.Errorf("stderr: %s", p.stderr.String())
	}
}

func TestTrapEndsWith134AndShowsTheStack(t *testing.T) {
	t.Parallel()
	p := run(t, guest(t, "guest", `(func $inner unreachable) (func (export "_start") (call $inner))`), options{})
	p.expect(134, "")
	for _, s := range []string{`module "/guest.wasm" trapped`, "unreachable", "wasm stack trace"} {
		if !strings.Contains(p.stderr.String(), s) {
			t.Errorf("stderr lacks %q:\n%s", s, p.stderr.String())
		}
	}
}

func TestStackOverflowIsATrap(t *testing.T) {
	t.Parallel()
	p := run(t, guest(t, "guest", `(func $f (export "_start") (call $f))`), options{})
	p.expect(134, "")
	if !strings.Contains(p.stderr.String(), "stack overflow") {
		t.Errorf("stderr: %s", p.stderr.String())
	}
}

func TestClosedStdoutIsAnErrorAndNoSignal(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	must(t, err)
	must(t, r.Close())
	defer w.Close()
	const errnoPipe = 64
	run(t, guest(t, "guest", `(func (export "_start") (call $exit (call $print (i32.const 1024) (i32.const 6))))`), options{stdout: w}).expect(errnoPipe, "")
}

func TestReactorIsInitializedBeforeItsFunction(t *testing.T) {
	t.Parallel()
	module := guest(t, "guest", `(data (i32.const 2000) "serve\n")
    (func (export "_initialize") (call $ready))
    (func (export "serve") (drop (call $print (i32.const 2000) (i32.const 6))))`)
	run(t, module, options{job: job.Job{Export: "serve"}}).expect(0, "ready\nserve\n")
}

func TestCommandIsNotInitialized(t *testing.T) {
	t.Parallel()
	module := guest(t, "guest", `(func (export "_initialize") unreachable) (func (export "_start") (call $ready))`)
	run(t, module, options{}).expect(0, "ready\n")
}

// TestNoCodeOfTheGuestRunsBeforeGo: the start section is code, too.
func TestNoCodeOfTheGuestRunsBeforeGo(t *testing.T) {
	t.Parallel()
	p := startReady(t, guest(t, "guest", `(start $trap) (func $trap unreachable) (func (export "_start"))`), options{})
	p.letGo()
	p.expect(134, "")
}

// Growing by a page until it is refused, then ending as END says.
const growBody = `(func (export "_start")
    (loop $l (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
    (call $ready) END)`

func TestRefusedMemoryAtTheLimitIsOutOfMemory(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"unreachable", "(call $exit (i32.const 2))"} {
		p := startReady(t, guest(t, "guest", strings.Replace(growBody, "END", end, 1)), options{job: job.Job{MemoryLimit: 48 << 20}})
		p.letGo()
		report, err := p.control.ReadReport()
		if err != nil || report.Kind != job.OutOfMemory {
			t.Errorf("report %+v, %v", report, err)
		}
		p.expect(137, "ready\n")
	}
}

func TestGuestThatCopesWithRefusedMemoryIsNotOutOfMemory(t *testing.T) {
	t.Parallel()
	run(t, guest(t, "guest", strings.Replace(growBody, "END", "", 1)), options{job: job.Job{MemoryLimit: 48 << 20}}).expect(0, "ready\n")
}

func TestReachingTheModulesOwnMaximumIsNotOutOfMemory(t *testing.T) {
	t.Parallel()
	run(t, guest(t, "guest", strings.Replace(growBody, "END", "unreachable", 1)), options{job: job.Job{MemoryLimit: 1 << 30}}).expect(134, "ready\n")
	run(t, guest(t, "guest", strings.Replace(growBody, "END", "unreachable", 1)), options{}).expect(134, "ready\n")
}

func TestMemoryLargerThanTheLimitIsRefusedBeforeTheStart(t *testing.T) {
	t.Parallel()
	p, report := start(t, wat(t, "big", `(module (memory 2000) (func (export "_start")))`), options{job: job.Job{MemoryLimit: 64 << 20}})
	if report.Kind != job.Failed || !strings.Contains(report.Message, "starts with 125.0 MiB, but the memory limit of 64.0 MiB") {
		t.Errorf("report %+v", report)
	}
	p.expect(126, "")
}

// TestLastMessageWaitsForRoom though the guest does not wait for any.
func TestLastMessageWaitsForRoom(t *testing.T) {
	t.Parallel()
	module := wat(t, "hasty", `(module
	  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
	  (import "wasi_snapshot_preview1" "fd_fdstat_set_flags" (func $set (param i32 i32) (result i32)))
	  (memory (export "memory") 1)
	  (func (export "_start")
	    (i32.store (i32.const 4) (i32.const 4096))
	    (drop (call $set (i32.const 2) (i32.const 4))) ;; NONBLOCK
	    (loop $full (br_if $full (i32.eqz (call $fd_write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))))
	    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
	    unreachable))`)
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	p := startReady(t, module, options{stderr: w})
	w.Close()
	p.letGo()
	for p.stdout.String() == "" {
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(100 * time.Millisecond) // it has something to say now
	said, err := io.ReadAll(r)
	must(t, err)
	if status := p.wait(); status != 134 || !strings.Contains(string(said), "trapped: ") {
		t.Errorf("status %d, and the last of %d bytes is %q", status, len(said), said[max(0, len(said)-100):])
	}
}
