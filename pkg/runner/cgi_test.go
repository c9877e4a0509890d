package runner_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
)

// gateway starts a module that answers requests, and returns a client of it.
func gateway(t testing.TB, module string, o options) (*process, *http.Client) {
	t.Helper()
	path := unixSocket(t)
	if o.job.CGI == nil {
		o.job.CGI = &job.CGI{Workers: 4, Patience: 60_000}
	}
	o.job.Listeners = listeners(t, "unix://"+path)
	p := launch(t, module, o)
	p.letGo()
	if report, err := p.control.ReadReport(); err != nil || report.Kind != job.Ready {
		t.Fatalf("report %+v, %v\n%s", report, err, p.stderr.String())
	}
	return p, &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	}}
}

func request(c *http.Client, path string) (string, error) {
	r, err := c.Get("http://test" + path)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	data, err := io.ReadAll(r.Body)
	return fmt.Sprintf("%d %s", r.StatusCode, data), err
}

// cgiGuest is a module that answers each request with one more than it finds in its
// memory and in a global, which is 1 and 1 if it finds nothing of those before.
const cgiGuest = `(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (global $global (mut i32) (i32.const 48))
  (data (i32.const 1000) "Content-Type: text/plain\n\n0 0\n")
  (data (i32.const 70000) "0")
  (func $answer
    (global.set $global (i32.add (global.get $global) (i32.const 1)))
    (i32.store8 (i32.const 70000) (i32.add (i32.load8_u (i32.const 70000)) (i32.const 1)))
    (i32.store8 (i32.const 1026) (i32.load8_u (i32.const 70000)))
    (i32.store8 (i32.const 1028) (global.get $global))
    (i32.store (i32.const 0) (i32.const 1000))
    (i32.store (i32.const 4) (i32.const 30))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
  BODY)`

func cgiModule(t *testing.T, name, body string) string {
	t.Helper()
	return wat(t, name, strings.Replace(cgiGuest, "BODY", body, 1))
}

const untouched = "200 1 1\n"

func TestRequestsHaveInstancesOfTheirOwn(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]options{
		"shared":  {code: warm},
		"private": {code: warm, job: job.Job{PrivateCode: true}},
		"compile": {code: cold},
	} {
		for body, text := range map[string]string{
			"start":      `(func (export "_start") (call $answer))`,
			"initialize": `(func (export "_initialize") (call $answer)) (func (export "serve"))`,
			"section":    `(func $s (call $answer)) (start $s) (func (export "_start"))`,
		} {
			t.Run(name+" "+body, func(t *testing.T) {
				t.Parallel()
				o := o
				if body == "initialize" {
					o.job.Export = "serve"
				}
				_, c := gateway(t, cgiModule(t, name+body, text), o)
				for range 30 {
					if got, err := request(c, "/"); got != untouched {
						t.Fatalf("%q, %v", got, err)
					}
				}
			})
		}
	}
}

// anonymous is the resident memory of a process that is no file's, in bytes.
func (p *process) anonymous() (bytes int64) {
	p.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	must(p.t, err)
	_, rest, _ := strings.Cut(string(status), "RssAnon:")
	_, err = fmt.Sscanf(rest, "%d kB", &bytes)
	must(p.t, err)
	return bytes << 10
}

// growing takes 16 MiB and uses them.
const growing = `(func (export "_start") (local $i i32)
    (if (i32.lt_s (memory.grow (i32.const 256)) (i32.const 0)) (then unreachable))
    (local.set $i (i32.const 131072))
    (loop $l
      (i32.store (local.get $i) (i32.const 1))
      (local.set $i (i32.add (local.get $i) (i32.const 4096)))
      (br_if $l (i32.lt_u (local.get $i) (i32.const 16777216))))
    (call $answer))`

func TestMemoryOfRequestsIsGivenBack(t *testing.T) {
	t.Parallel()
	const limit = 96 << 20
	p, c := gateway(t, cgiModule(t, "growing", growing), options{job: job.Job{MemoryLimit: limit, CGI: &job.CGI{Workers: 3, Patience: 60_000}}})
	before := p.anonymous()
	var all sync.WaitGroup
	for range 300 {
		all.Go(func() {
			if got, err := request(c, "/"); got != untouched {
				t.Errorf("%q, %v\n%s", got, err, p.stderr.String())
			}
			if now := p.anonymous(); now > limit {
				t.Errorf("%d bytes are more than the limit", now)
			}
		})
	}
	all.Wait()
	const most = 8 << 20
	for begin := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		after := p.anonymous()
		if after-before <= most {
			return
		}
		if time.Since(begin) > 30*time.Second {
			t.Fatalf("it has %d bytes, which was %d before", after, before)
		}
	}
}

func TestRequestsThatFindNoMemoryWait(t *testing.T) {
	t.Parallel()
	// Room for one of 20 MiB, which is made and waits, and no other.
	module := wat(t, "large", strings.Replace(strings.Replace(cgiGuest, `"memory") 2)`, `"memory") 320)`, 1), "BODY", `(func (export "_start") (call $answer))`, 1))
	p, c := gateway(t, module, options{job: job.Job{MemoryLimit: 48 << 20, CGI: &job.CGI{Workers: 8, Patience: 60_000}}})
	var all sync.WaitGroup
	for range 50 { // they wait for each other
		all.Go(func() {
			if got, err := request(c, "/"); got != untouched {
				t.Errorf("%q, %v\n%s", got, err, p.stderr.String())
			}
		})
	}
	all.Wait()
}

func TestServersAreRefusedInTime(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]options{
		"leaves 0.0 MiB for all requests": {job: job.Job{MemoryLimit: 8 << 20, CGI: &job.CGI{Workers: 1, Patience: 1000}}},
		"for another kind of job":         {job: job.Job{}, wrapper: []string{"/usr/bin/env", job.RoleEnv + "=" + job.RoleServer}},
	} {
		module := cgiModule(t, "refused", `(func (export "_start") (call $answer))`)
		if _, report := start(t, module, o); report.Kind != job.Failed || !strings.Contains(report.Message, want) {
			t.Errorf("report %+v, want %q", report, want)
		}
	}
}

// TestIdleServersMayBePaused for longer than a request may take without a sign of life.
func TestIdleServersMayBePaused(t *testing.T) {
	t.Parallel()
	module := cgiModule(t, "paused", `(func (export "_start") (call $answer))`)
	p, c := gateway(t, module, options{job: job.Job{CGI: &job.CGI{Workers: 1, Patience: 1000}}})
	for i := range 2 {
		if i == 1 {
			time.Sleep(100 * time.Millisecond) // it has nothing left to do
			must(t, p.cmd.Process.Signal(unix.SIGSTOP))
			time.Sleep(2500 * time.Millisecond)
			must(t, p.cmd.Process.Signal(unix.SIGCONT))
		}
		if got, err := request(c, "/"); got != untouched {
			t.Fatalf("%q, %v; status %d", got, err, p.wait())
		}
	}
}

// TestStandardErrorIsNotOneRequestsAlone: what a guest makes of its flags is for nobody
// else.
func TestStandardErrorIsNotOneRequestsAlone(t *testing.T) {
	t.Parallel()
	log, err := os.OpenFile(t.TempDir()+"/log", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	must(t, err)
	defer log.Close()
	flags := func() int {
		n, err := unix.FcntlInt(log.Fd(), unix.F_GETFL, 0)
		must(t, err)
		return n
	}
	before := flags()
	module := wat(t, "flags", strings.NewReplacer(
		"(memory", `(import "wasi_snapshot_preview1" "fd_fdstat_set_flags" (func $set (param i32 i32) (result i32))) (memory`,
		"BODY", `(func (export "_start")
		    (if (call $set (i32.const 2) (i32.const 4)) (then unreachable)) ;; NONBLOCK, and no APPEND
		    (call $answer))`,
	).Replace(cgiGuest))
	_, c := gateway(t, module, options{stderr: log})
	if got, err := request(c, "/"); got != untouched {
		t.Fatalf("%q, %v", got, err)
	}
	if after := flags(); after != before {
		t.Errorf("the flags of standard error are %#o, which were %#o", after, before)
	}
}
