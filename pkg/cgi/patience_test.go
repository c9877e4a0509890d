package cgi

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/runner/gateway"
)

// pipes is a listener for connections of this process that hold nothing: what is written
// waits until it is read.
type pipes struct {
	net.Listener // has no other methods
	accepted     chan net.Conn
	closed       chan struct{}
}

// pipeEnd has what conn needs besides.
type pipeEnd struct{ net.Conn }

func (pipeEnd) CloseWrite() error { return net.ErrClosed }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accepted:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Net: "unix"} }

func (p *pipes) Close() error {
	close(p.closed)
	return nil
}

func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.accepted <- pipeEnd{server}
	return client
}

// servePipes runs a server of a program that has just them.
func servePipes(t *testing.T, p gateway.Program, patience time.Duration) (gateway.Server, *pipes) {
	t.Helper()
	o := options(t)
	o.Patience = patience
	opened, err := Open(nil, o)
	if err != nil {
		t.Fatal(err)
	}
	s, l := opened.(*server), &pipes{accepted: make(chan net.Conn), closed: make(chan struct{})}
	s.listeners = append(s.listeners, &limited{Listener: l, server: s})
	go func() {
		if err := s.Serve(p); err != nil {
			t.Error(err)
		}
	}()
	return s, l
}

// full has no room for an instance.
type full struct{}

func (full) Instance() (gateway.Instance, error) { return nil, gateway.ErrNoRoom }

// TestClientsThatReadNothingAreLeft: one that does not read its answer, of whoever, must
// not keep its connection for ever, nor a server that is to end.
func TestClientsThatReadNothingAreLeft(t *testing.T) {
	t.Parallel()
	for name, request := range map[string]string{
		"refused here":        "GET /../x HTTP/1.1\r\nHost: x\r\n\r\n",
		"refused by net/http": "nonsense\r\n\r\n",
		"too long":            "GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 2*maxHeader),
		"an expectation":      "PUT / HTTP/1.1\r\nHost: x\r\nExpect: x\r\nContent-Length: 9\r\n\r\n",
		"no room":             "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"no room, and a body": "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const patience = 10 * time.Second
				s, l := servePipes(t, full{}, patience)
				c := l.dial()
				go func() { _, _ = io.WriteString(c, request) }()
				time.Sleep(time.Second) // it is being answered
				endsWithin(t, s, c, patience+headerPatience)
			})
		})
	}
}

// endsWithin shuts a server down that has a client.
func endsWithin(t *testing.T, s gateway.Server, c net.Conn, most time.Duration) {
	t.Helper()
	ended := make(chan struct{})
	go func() {
		s.Shutdown()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(most):
		t.Errorf("it has not ended after %v", most)
	}
	c.Close()
	<-ended
}

// TestBodyThatNobodyExpectsNeedNotCome: net/http refuses the request, and waits for its
// body.
func TestBodyThatNobodyExpectsNeedNotCome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, l := servePipes(t, full{}, time.Minute)
		c := l.dial()
		fmt.Fprint(c, "PUT / HTTP/1.1\r\nHost: x\r\nExpect: x\r\nContent-Length: 9\r\n\r\n")
		answer, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || answer.StatusCode != http.StatusExpectationFailed {
			t.Errorf("%+v, %v", answer, err)
		}
		endsWithin(t, s, c, 2*headerPatience)
	})
}

// TestClientsThatReadNoContinueAreLeft, too: the program waits for their body meanwhile.
func TestClientsThatReadNoContinueAreLeft(t *testing.T) {
	t.Parallel()
	s, l := servePipes(t, reader, 100*time.Millisecond)
	c := l.dial()
	fmt.Fprint(c, "PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n")
	endsWithin(t, s, c, enough)
}

// TestBodiesMayTakeTheirTime: a request's deadline is for none that a program reads, and
// for no other request on the connection.
func TestBodiesMayTakeTheirTime(t *testing.T) {
	t.Parallel()
	const deadline = 50 * time.Millisecond
	l := listen(t, "tcp")
	serve(t, l, reader, func(s *server) { s.http.ReadTimeout = deadline })
	c := dial(t, l)
	r := bufio.NewReader(c)
	for i := range 3 {
		time.Sleep(2 * deadline)
		fmt.Fprint(c, "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n")
		for range 2 {
			time.Sleep(2 * deadline)
			fmt.Fprint(c, "x")
		}
		answer, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
		if text, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode != http.StatusOK || string(text) != "read\n" {
			t.Errorf("request %d: %d, %q, %v", i, answer.StatusCode, text, err)
		}
	}
}
