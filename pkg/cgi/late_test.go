package cgi

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// drip writes for longer than patience, and never waits for so long.
func drip(patience time.Duration) script {
	return func(_ []string, _, stdout *os.File) (int, error) {
		const parts = 15
		fmt.Fprint(stdout, "Content-Type: text/plain\n\n")
		for range parts {
			time.Sleep(patience / 10)
			fmt.Fprint(stdout, "x")
		}
		return 0, nil
	}
}

// TestClientsThatStallAreTold, each of them: what waits for the body must not be the first
// to lose its patience. If the answer flows, nobody does.
func TestClientsThatStallAreTold(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		program  script
		patience time.Duration
		clients  int
		status   int
		text     string
	}{
		"the program waits": {reader, 100 * time.Millisecond, 30, http.StatusGatewayTimeout, "Gateway Timeout\n"},
		"the answer flows":  {drip(3 * time.Second), 3 * time.Second, 1, http.StatusOK, strings.Repeat("x", 15)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := listen(t, "tcp")
			serve(t, l, tc.program, func(s *server) { s.Patience = tc.patience })
			var clients sync.WaitGroup
			for range tc.clients {
				c := dial(t, l)
				clients.Go(func() {
					fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
					answer, err := http.ReadResponse(bufio.NewReader(c), nil)
					if err != nil {
						t.Error(err)
						return
					}
					if text, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode != tc.status || string(text) != tc.text {
						t.Errorf("%d, %q, %v", answer.StatusCode, text, err)
					}
				})
			}
			clients.Wait()
		})
	}
}

// elsewhere redirects to a program without waiting for the request's body.
func elsewhere(to script) script {
	return func(env []string, stdin, stdout *os.File) (int, error) {
		if slices.Contains(env, "PATH_INFO=/other") {
			return to(env, stdin, stdout)
		}
		_, err := fmt.Fprint(stdout, "Location: /other\n\n")
		return 0, err
	}
}

// TestRedirectsNeedNoBody: the second program has no use for it, though the client may
// never send it.
func TestRedirectsNeedNoBody(t *testing.T) {
	t.Parallel()
	l := listen(t, "tcp")
	serve(t, l, elsewhere(deaf))
	for range 3 {
		c := dial(t, l)
		fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12")
		answer, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode != http.StatusOK || string(text) != "no need\n" || !answer.Close {
			t.Errorf("%+v, %q, %v", answer, text, err)
		}
	}
}

// broken tells that nobody is going to read what is written to a pipe.
func broken(pipe *os.File) bool {
	c, err := pipe.SyscallConn()
	if err != nil {
		return true
	}
	fds := make([]unix.PollFd, 1)
	_ = c.Control(func(fd uintptr) {
		fds[0] = unix.PollFd{Fd: int32(fd)}
		_, _ = unix.Poll(fds, 0)
	})
	return fds[0].Revents&unix.POLLERR != 0
}

// TestNothingGoesOnBehindARedirect for a client that has gone without its body, whether
// the program writes or not.
func TestNothingGoesOnBehindARedirect(t *testing.T) {
	t.Parallel()
	for name, second := range map[string]script{
		"writes": func(_ []string, _, stdout *os.File) (int, error) {
			fmt.Fprint(stdout, "Content-Type: text/plain\n\n")
			for {
				if _, err := fmt.Fprintln(stdout, "x"); err != nil {
					return 1, nil
				}
				time.Sleep(time.Millisecond)
			}
		},
		"does nothing": func(_ []string, _, stdout *os.File) (int, error) {
			for !broken(stdout) {
				time.Sleep(time.Millisecond)
			}
			return 1, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := listen(t, "tcp")
			begun, ended := make(chan struct{}), make(chan struct{})
			serve(t, l, elsewhere(func(env []string, stdin, stdout *os.File) (int, error) {
				defer close(ended)
				close(begun)
				return second(env, stdin, stdout)
			}), func(s *server) { s.Patience = 2 * time.Second })
			c := dial(t, l)
			fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12")
			for _, at := range []chan struct{}{begun, ended} {
				select {
				case <-at:
					c.Close()
				case <-time.After(enough):
					t.Fatal("the second program has not begun, or not ended")
				}
			}
		})
	}
}
