package cgi

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
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
		"304, leaves":      {"GET", "Status: 304\n\n", time.Hour, true},
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

// TestAnswersWithoutABodyLeaveTheConnection to the next request, if their programs end
// soon, or with 204 at any time: who asks for something to be done waits until it is.
func TestAnswersWithoutABodyLeaveTheConnection(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		method, text string
		rest         int
	}{
		"HEAD":         {"HEAD", "Content-Type: text/plain\n\n" + half, 0},
		"304":          {"GET", "Status: 304\n\n", 0},
		"204":          {"GET", "Status: 204\n\n", 0},
		"204, at work": {"GET", "Status: 204\n\n", 10},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := listen(t, "tcp")
			serve(t, l, script(func(_ []string, _, stdout *os.File) (int, error) {
				_, err := fmt.Fprint(stdout, tc.text)
				for range tc.rest { // each is a sign of life
					time.Sleep(headerPause)
					fmt.Fprint(stdout, "x")
				}
				return 0, err
			}), func(s *server) { s.Patience = 5 * headerPause })
			c := dial(t, l)
			r := bufio.NewReader(c)
			for range 2 {
				fmt.Fprintf(c, "%s / HTTP/1.1\r\nHost: x\r\n\r\n", tc.method)
				answer, err := http.ReadResponse(r, &http.Request{Method: tc.method})
				if err != nil || answer.Close {
					t.Fatalf("%+v, %v", answer, err)
				}
			}
		})
	}
}

// half is more than the server holds back, and than a pipe holds.
var half = strings.Repeat("x", 300<<10)

// TestCutAnswersDoNotLookComplete to clients that know no other end of one than that of
// the connection.
func TestCutAnswersDoNotLookComplete(t *testing.T) {
	t.Parallel()
	l := listen(t, "tcp")
	serve(t, l, script(func(env []string, _, stdout *os.File) (int, error) {
		_, err := fmt.Fprint(stdout, "Content-Type: text/plain\n\n", half)
		if slices.Contains(env, "PATH_INFO=/cut") {
			err = errors.New("it trapped")
		}
		return 0, err
	}))
	for _, version := range []string{"1.0", "1.1"} {
		for path, whole := range map[string]bool{"/": true, "/cut": false} {
			for _, body := range []int{0, 9} { // which does not come
				c := dial(t, l)
				fmt.Fprintf(c, "PUT %s HTTP/%s\r\nHost: x\r\nContent-Length: %d\r\n\r\n", path, version, body)
				answer, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil {
					t.Fatal(err)
				}
				text, err := io.ReadAll(answer.Body)
				if (err == nil) != whole || whole && string(text) != half {
					t.Errorf("HTTP/%s, %s, a body of %d: %d bytes, %v", version, path, body, len(text), err)
				}
			}
		}
	}
}
