package main

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/bench/servers/bodies"
)

// serve answers on loopback until the test ends.
func serve(t *testing.T, s *http.Server) (port int) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	go s.Serve(l)
	return l.Addr().(*net.TCPAddr).Port
}

// An outcome has all answers that the server gave, and connections are kept, or made anew.
func TestLoadsAreAnswered(t *testing.T) {
	t.Parallel()
	for _, path := range []string{bodies.Small, bodies.Large} {
		for _, fresh := range []bool{false, true} {
			var mu sync.Mutex
			requests, connections := 0, 0
			body := bodies.All()[path]
			port := serve(t, &http.Server{
				Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					mu.Lock()
					requests++
					mu.Unlock()
					http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(body)))
				}),
				ConnState: func(_ net.Conn, s http.ConnState) {
					mu.Lock()
					defer mu.Unlock()
					if s == http.StateNew {
						connections++
					}
				},
			})
			const clients, long = 5, 200 * time.Millisecond
			o, err := load{port: port, path: path, body: body, connections: clients, fresh: fresh}.run(context.Background(), long)
			if err != nil {
				t.Fatalf("%s, fresh %v: %v", path, fresh, err)
			}
			mu.Lock()
			if len(o.latencies) != requests || requests < 2*clients {
				t.Errorf("%s, fresh %v: %d answers to %d requests", path, fresh, len(o.latencies), requests)
			}
			if inTime := int(o.perSecond*long.Seconds() + .5); inTime > requests || inTime < requests-clients {
				t.Errorf("%s, fresh %v: %d of %d answers were in time", path, fresh, inTime, requests)
			}
			if want := map[bool]int{false: clients, true: requests}[fresh]; connections != want {
				t.Errorf("%s, fresh %v: %d connections, want %d", path, fresh, connections, want)
			}
			mu.Unlock()
			for _, d := range o.latencies {
				if d <= 0 || d > 10*time.Second {
					t.Errorf("an answer took %v", d)
				}
			}
			if o.cpu <= 0 || o.cpu > 1.1 {
				t.Errorf("the clients took %v CPUs", o.cpu)
			}
		}
	}
}

// Each client of a load of no time asks once, and keeps its connection.
func TestIdleConnectionsStayOpen(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	states := map[http.ConnState]int{}
	port := serve(t, &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("x")) }),
		ConnState: func(_ net.Conn, s http.ConnState) {
			mu.Lock()
			defer mu.Unlock()
			states[s]++
		},
	})
	p, err := load{port: port, path: "/", body: []byte("x"), connections: 30}.open()
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	if _, err := p.run(context.Background(), 0); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	mu.Lock()
	defer mu.Unlock()
	if states[http.StateNew] != 30 || states[http.StateActive] != 30 || states[http.StateClosed] != 0 {
		t.Errorf("connections: %v", states)
	}
}

// Clients that pause ask when it is time, and not after the end.
func TestClientsPause(t *testing.T) {
	t.Parallel()
	const clients, pause, long = 3, 40 * time.Millisecond, 300 * time.Millisecond
	var mu sync.Mutex
	var times []time.Time
	port := serve(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		times = append(times, time.Now())
		mu.Unlock()
		w.Write([]byte("x"))
	})})
	begin := time.Now()
	_, err := load{port: port, path: "/", body: []byte("x"), connections: clients, pause: pause}.run(context.Background(), long)
	if err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	// A busy machine may be late, but never early.
	if most := clients * int(long/pause+1); len(times) > most || len(times) < 2*clients {
		t.Errorf("%d requests, want %d", len(times), most)
	}
	if after := times[len(times)-1].Sub(begin); after > long+100*time.Millisecond {
		t.Errorf("the last request was after %v", after)
	}
	if took := time.Since(begin); took > long+time.Second {
		t.Errorf("it took %v", took)
	}
}

// What is no right answer is no figure either.
func TestWrongAnswersAreErrors(t *testing.T) {
	t.Parallel()
	for want, handler := range map[string]http.HandlerFunc{
		"404":                   http.NotFound,
		"a wrong answer":        func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("jello")) },
		"an answer of 6 bytes":  func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("hello!")) },
		"does not tell":         func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush(); w.Write([]byte("hello")) },
		"closed the connection": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		port := serve(t, &http.Server{Handler: handler})
		_, err := load{port: port, path: "/", body: []byte("hello"), connections: 2}.run(context.Background(), 10*time.Millisecond)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	_, err = load{port: l.Addr().(*net.TCPAddr).Port, connections: 1}.run(context.Background(), 0)
	if err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("nobody listens: %v", err)
	}
}

func TestLoadsEndWhenTheyShould(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{})
	port := serve(t, &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-gone })})
	defer close(gone)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if _, err := (load{port: port, path: "/", connections: 1}).run(ctx, time.Hour); err == nil {
		t.Error("it has had an answer")
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestSizesOfAnswers(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		got           string
		header, total int
		wrong         string
	}{
		{got: ""},
		{got: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r"},
		{got: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", header: 38, total: 43},
		{got: "HTTP/1.1 200 OK\r\nDate: x\r\ncontent-length:5\r\n\r\nhel", header: 46, total: 51},
		{got: "HTTP/1.1 200 OK\r\nX-Content-Length: 7\r\nContent-Length: 0\r\n\r\n", header: 59, total: 59},
		{got: "HTTP/1.1 200 OK\r\nX: y\r\n\r\nContent-Length: 5\r\n", wrong: "does not tell its length"},
		{got: "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", wrong: `length of "-1"`},
		{got: "HTTP/1.1 200 OK\r\nContent-Length: 5 5\r\n\r\n", wrong: `length of "5 5"`},
		{got: "HTTP/1.1 500 Oh\r\nContent-Length: 5\r\n\r\n", wrong: `"HTTP/1.1 500 Oh"`},
		{got: strings.Repeat("x", headerRoom), wrong: "has no end"},
	} {
		header, total, err := answerSize([]byte(tc.got))
		if header != tc.header || total != tc.total || (err == nil) != (tc.wrong == "") || err != nil && !strings.Contains(err.Error(), tc.wrong) {
			t.Errorf("%.60q: %d, %d, %v", tc.got, header, total, err)
		}
	}
}
