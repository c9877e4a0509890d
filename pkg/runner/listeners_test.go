package runner_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi/listen"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi/listen/listentest"
)

// serving starts a module that has the listeners of a list, and returns when it may
// run.
func serving(t *testing.T, module, list string, more job.Job) *process {
	t.Helper()
	j := more
	j.Listeners = listeners(t, list)
	j.Env = listen.Environ(nil, j.Listeners, job.FirstPreopen+len(j.Preopens))
	p := launch(t, module, options{job: j})
	p.letGo() // before it is ready, which it is when its sockets are open
	if report, err := p.control.ReadReport(); err != nil || report.Kind != job.Ready {
		t.Fatalf("report %+v, %v", report, err)
	}
	return p
}

func listeners(t testing.TB, list string) []listen.Socket {
	t.Helper()
	all, err := listen.Parse(list)
	must(t, err)
	return all
}

func unixSocket(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "s-") // those of tests are too long
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

// freeAddress is one of the loopback interface.
func freeAddress(t *testing.T) string {
	t.Helper()
	return "127.0.0.1:" + listentest.FreePort(t)
}

// echoes sends a text and expects it back.
func echoes(t *testing.T, network, address, text string) {
	t.Helper()
	conn, err := net.DialTimeout(network, address, 5*time.Second)
	if err != nil {
		t.Errorf("%s %s: %v", network, address, err)
		return
	}
	defer conn.Close()
	must(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	_, err = io.WriteString(conn, text)
	must(t, err)
	got := make([]byte, len(text))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != text {
		t.Errorf("%s %s: %q, %v", network, address, got, err)
	}
}

func TestServerInCWaitsInAccept(t *testing.T) {
	t.Parallel()
	module := cGuest(t, "echo")
	for _, mode := range []string{"", ";blocking"} {
		path := unixSocket(t)
		p := serving(t, module, "web=unix://"+path+mode, job.Job{Preopens: []job.Preopen{{Guest: "/", Host: t.TempDir()}}})
		for range 3 {
			time.Sleep(30 * time.Millisecond)
			echoes(t, "unix", path, strings.Repeat("hello", 100))
		}
		p.expect(0, "1 at 4: web\n")
	}
}

// A guest that asks not to wait gets an error, as from any socket that does not block.
func TestServerThatDoesNotWait(t *testing.T) {
	t.Parallel()
	serving(t, cGuest(t, "echo"), "unix://"+unixSocket(t)+";nonblocking", job.Job{}).
		expect(1, "1 at 3: unknown\naccept: Resource temporarily unavailable\n")
}

func TestServerInGoServesManyAtOnce(t *testing.T) {
	t.Parallel()
	path, address := unixSocket(t), freeAddress(t)
	p := serving(t, goGuest(t, "goserver"), "a=unix://"+path+",b=tcp://"+address, job.Job{})
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			r := bufio.NewReader(conn)
			for n := range 20 {
				want := fmt.Sprintf("%d of %d\n", n, i)
				fmt.Fprint(conn, want)
				if got, err := r.ReadString('\n'); got != want {
					t.Errorf("%q, %v; want %q", got, err, want)
					return
				}
			}
		})
	}
	all.Wait()
	for try := 1; ; try++ { // what it did before may last longer on a busy machine
		before := cpu(t, p)
		time.Sleep(time.Second)
		used := cpu(t, p) - before
		if used <= 200*time.Millisecond { // it counts 200 times a second
			break
		}
		if try == 3 {
			t.Errorf("%v of CPU in a second without connections", used)
			break
		}
	}
	echoes(t, "unix", path, "end\n")
	p.expect(0, "serving a:b\nother goroutines run: true\n")
}

// cpu is the time that a process has used.
func cpu(t *testing.T, p *process) time.Duration {
	t.Helper()
	var total time.Duration
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.cmd.Process.Pid))
	must(t, err)
	for _, thread := range threads {
		if stat, err := os.ReadFile(thread); err == nil {
			var ns int64
			fmt.Sscan(string(stat), &ns)
			total += time.Duration(ns)
		}
	}
	return total
}

// goGuest compiles a Go program of testdata.
func goGuest(t *testing.T, name string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), name+".wasm")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, "./testdata/"+name)
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, text)
	}
	return out
}

func TestListenerThatCannotBeOpenedFailsTheStart(t *testing.T) {
	t.Parallel()
	address := freeAddress(t)
	l, err := net.Listen("tcp", address)
	must(t, err)
	defer l.Close()
	module := cGuest(t, "echo")
	for list, want := range map[string]string{
		"web=tcp://" + address: `listener "web=tcp://` + address + `": bind: address already in use`,
		"tcp://127.0.0.1:7":    `listener "tcp://127.0.0.1:7": bind: permission denied: choose a port from 1024 on`,
		"unix:///no/such/s":    `listener "unix:///no/such/s": bind: no such file or directory`,
	} {
		listeners, err := listen.Parse(list)
		must(t, err)
		p := launch(t, module, options{job: job.Job{Listeners: listeners}})
		p.letGo()
		report, err := p.control.ReadReport()
		must(t, err)
		if report.Kind != job.Failed || !strings.HasPrefix(report.Message, want) {
			t.Errorf("%s: %+v", list, report)
		}
		if p.wait() != 126 {
			t.Errorf("%s: status %d", list, p.status)
		}
	}
}

// The capability for a low port is there until the port is had.
func TestPrivilegedPort(t *testing.T) {
	needRoot(t)
	t.Parallel()
	listeners, err := listen.Parse("tcp://:7")
	must(t, err)
	p := launch(t, cGuest(t, "echo"), options{
		job:  job.Job{Listeners: listeners, Env: listen.Environ(nil, listeners, 3), KeepCapabilities: []string{"CAP_NET_BIND_SERVICE", "CAP_CHOWN"}},
		attr: &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET},
	})
	p.letGo()
	if report, err := p.control.ReadReport(); err != nil || report.Kind != job.Ready {
		t.Fatalf("%+v, %v", report, err)
	}
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", p.cmd.Process.Pid))
	must(t, err)
	for _, thread := range threads {
		status, err := os.ReadFile(thread)
		must(t, err)
		if !strings.Contains(string(status), "CapEff:\t0000000000000001\n") {
			t.Errorf("%s:\n%s", thread, status)
		}
	}
	if len(threads) == 0 {
		t.Error("there are no threads")
	}
}
