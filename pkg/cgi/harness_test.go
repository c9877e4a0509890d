package cgi

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/runner/gateway"
)

// script is a program in Go.
type script func(env []string, stdin, stdout *os.File) (int, error)

// deaf answers at once, and reads nothing.
var deaf script = func(_ []string, _, stdout *os.File) (int, error) {
	_, err := io.WriteString(stdout, "Content-Type: text/plain\n\nno need\n")
	return 0, err
}

// reader answers when it has read everything.
var reader script = func(_ []string, stdin, stdout *os.File) (int, error) {
	if _, err := io.Copy(io.Discard, stdin); err != nil {
		return 1, err
	}
	_, err := io.WriteString(stdout, "Content-Type: text/plain\n\nread\n")
	return 0, err
}

func (s script) Instance() (gateway.Instance, error) {
	i := &scriptInstance{script: s}
	var err error
	if i.stdin, i.in, err = os.Pipe(); err != nil {
		return nil, err
	}
	i.out, i.stdout, err = os.Pipe()
	return i, err
}

type scriptInstance struct {
	script                 script
	stdin, in, out, stdout *os.File
}

func (i *scriptInstance) Stdin() *os.File  { return i.in }
func (i *scriptInstance) Stdout() *os.File { return i.out }

func (i *scriptInstance) Run(env []string) (int, error) {
	defer i.Discard()
	return i.script(env, i.stdin, i.stdout)
}

func (i *scriptInstance) Discard() {
	i.stdin.Close()
	i.stdout.Close()
}

// options are those of a server in a test.
func options(t *testing.T) gateway.Options {
	return gateway.Options{
		Workers: 2, Patience: time.Minute, Connections: 100, Log: io.Discard,
		GiveUp: func(line string) { t.Error(line) },
		Guard:  func(time.Duration) {}, Idle: func() {},
	}
}

// serve runs a server of a program at a listener.
func serve(t *testing.T, l net.Listener, p gateway.Program, change ...func(*server)) gateway.Server {
	t.Helper()
	file, err := l.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	s, err := Open([]*os.File{file}, options(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(s.(*server))
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(p) }()
	t.Cleanup(func() {
		s.Shutdown()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s
}

func listen(t *testing.T, network string) net.Listener {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "s")
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	return l
}

// dial connects to a server. The deadline is for tests that fail.
func dial(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	c, err := net.Dial(l.Addr().Network(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(enough))
	return c
}

// enough is for what a busy machine may be about for a while.
const enough = time.Minute
