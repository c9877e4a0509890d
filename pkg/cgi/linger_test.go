package cgi

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// TestWhatNobodyReadsMayStillBeSent: a client may be about a body for longer than its
// answer takes. If the connection was reset then, it would lose the answer.
func TestWhatNobodyReadsMayStillBeSent(t *testing.T) {
	t.Parallel()
	var clients sync.WaitGroup
	defer clients.Wait()
	for _, network := range []string{"tcp", "unix"} {
		l := listen(t, network)
		serve(t, l, deaf)
		for name, tc := range map[string]struct {
			request string
			status  int
		}{
			"unread":  {"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", http.StatusOK},
			"once":    {"PUT / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n", http.StatusOK},
			"refused": {"PUT /../x HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", http.StatusBadRequest},
			"chunked": {"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n", http.StatusLengthRequired},
		} {
			for _, size := range []int{100, 100 << 10, 10 << 20} {
				clients.Go(func() {
					if err := sendSlowly(l.Addr(), fmt.Sprintf(tc.request, size), size, tc.status); err != nil {
						t.Errorf("%s, %s, %d bytes: %v", network, name, size, err)
					}
				})
			}
		}
	}
}

// sendSlowly sends a request, and then its body for longer than net/http would wait. It
// returns an error unless the connection ends after an answer with this status.
func sendSlowly(to net.Addr, request string, size, status int) error {
	c, err := net.Dial(to.Network(), to.String())
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprint(c, request)
	const parts = 10
	for i := range parts {
		time.Sleep(100 * time.Millisecond)
		if _, err := c.Write(make([]byte, size/parts)); err != nil {
			return fmt.Errorf("part %d: %w", i, err)
		}
	}
	r := bufio.NewReader(c)
	answer, err := http.ReadResponse(r, nil)
	if err != nil {
		return err
	}
	if _, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode != status || !answer.Close {
		return fmt.Errorf("%+v, %w", answer, err)
	}
	if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
		return fmt.Errorf("%q follows, %w", rest, err)
	}
	return nil
}

// TestShutdownWaitsForNoBodyThatNobodyReads, and the client has its answer.
func TestShutdownWaitsForNoBodyThatNobodyReads(t *testing.T) {
	t.Parallel()
	l := listen(t, "tcp")
	s := serve(t, l, deaf)
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
	answer, err := io.ReadAll(c) // to the end of what the server sends
	if err != nil || !bytes.HasSuffix(answer, []byte("no need\n")) {
		t.Errorf("%q, %v", answer, err)
	}
	begin := time.Now()
	s.Shutdown()
	if waited := time.Since(begin); waited > lingerQuiet/2 {
		t.Errorf("it waited for %v", waited)
	}
}
