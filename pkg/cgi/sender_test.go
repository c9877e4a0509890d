package cgi

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"testing"
	"time"
)

// chatter writes for as long as somebody may read it.
func chatter(header string, ended chan<- struct{}) script {
	return func(_ []string, _, stdout *os.File) (int, error) {
		defer close(ended)
		_, err := fmt.Fprint(stdout, header)
		for err == nil {
			time.Sleep(10 * time.Millisecond)
			_, err = fmt.Fprint(stdout, "x")
		}
		return 1, nil
	}
}

// TestAnswersWithoutABodyNeedNoEnd: they are complete with their header, and what the
// program still writes keeps nothing going, whether the client leaves or waits.
func TestAnswersWithoutABodyNeedNoEnd(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		method, header string
		patience       time.Duration
		leave          bool
	}{
		"HEAD, leaves":     {"HEAD", "Content-Type: text/plain\n\n", time.Hour, true},
		"HEAD, waits":      {"HEAD", "Content-Type: text/plain\n\n", time.Second, false},
		"204, leaves":      {"GET", "Status: 204\n\n", time.Hour, true},
		"304, waits":       {"GET", "Status: 304\n\n", time.Second, false},
		"HEAD with length": {"HEAD", "Content-Type: text/plain\nContent-Length: 3\n\n", time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := listen(t, "tcp")
			ended := make(chan struct{})
			serve(t, l, chatter(tc.header, ended), func(s *server) { s.Patience = tc.patience })
			c := dial(t, l)
			fmt.Fprintf(c, "%s / HTTP/1.1\r\nHost: x\r\n\r\n", tc.method)
			r := bufio.NewReader(c)
			answer, err := http.ReadResponse(r, &http.Request{Method: tc.method})
			if err != nil {
				t.Fatal(err)
			}
			if !answer.Close {
				t.Errorf("another request would have to wait: %+v", answer)
			}
			if tc.leave {
				c.Close()
			} else if b, err := r.ReadByte(); err == nil {
				t.Errorf("%q follows", b)
			}
			select {
			case <-ended:
			case <-time.After(enough):
				t.Error("the program goes on")
			}
		})
	}
}
