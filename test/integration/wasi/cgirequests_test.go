package wasi

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// ask sends a request, whose header may be changed, and returns the answer and its body.
func ask(t *testing.T, method, url, text string, change func(*http.Request)) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(r)
	}
	c := client()
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	answer, err := c.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Errorf("%s %s: %v after %q", method, url, err, data)
	}
	return answer, string(data)
}

// raw sends bytes and returns what comes back until the server closes the connection.
func raw(t *testing.T, url, text string) string {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(testenv.Slow(20 * time.Second)))
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(conn)
	if err != nil {
		t.Errorf("%q: %v after %q", text, err, data)
	}
	return string(data)
}

func cgiTold(t *testing.T, d *testenv.Docker) {
	_, url := startCGI(t, d, "--env", "OWN=yes", "--env", "REMOTE_USER=root", "--env", "HTTP_FROM=me", "--env", "HTTP_PROXY=http://own.test")
	_, text := ask(t, "POST", url+"/env?a=b&c=%20d", "12345", func(r *http.Request) {
		r.Host = "www.test:81"
		r.Header = http.Header{
			"Content-Type": {"text/x"}, "Proxy": {"http://evil.test"}, "X-One": {"1", "2"}, "Cookie": {"a=1", "b=2"},
			"X_under": {"x"}, "X-Under": {"real"}, "Authorization": {"Basic x"}, "Te": {"trailers"},
		}
	})
	env := strings.Split(strings.TrimSpace(text), "\n")
	for _, want := range []string{
		"OWN=yes", "HTTP_PROXY=http://own.test", "GATEWAY_INTERFACE=CGI/1.1", "SERVER_PROTOCOL=HTTP/1.1", "SERVER_SOFTWARE=containerd-shim-wazero",
		"SERVER_NAME=www.test", "SERVER_PORT=8080", "REQUEST_METHOD=POST", "QUERY_STRING=a=b&c=%20d", "REQUEST_URI=/env?a=b&c=%20d",
		"SCRIPT_NAME=", "PATH_INFO=/env", "CONTENT_LENGTH=5", "CONTENT_TYPE=text/x", "HTTP_HOST=www.test:81",
		"HTTP_X_ONE=1, 2", "HTTP_COOKIE=a=1; b=2", "HTTP_X_UNDER=real", "HTTP_AUTHORIZATION=Basic x",
	} {
		if !slices.Contains(env, want) {
			t.Errorf("%s is not among %q", want, env)
		}
	}
	names := map[string]int{}
	for _, v := range env {
		name, value, _ := strings.Cut(v, "=")
		names[name]++
		if value == "" && (name == "REMOTE_ADDR" || name == "REMOTE_PORT") {
			t.Errorf("%s is empty", name)
		}
	}
	for name, n := range names {
		if n > 1 || strings.HasPrefix(name, "LISTEN_") || strings.HasPrefix(name, "WAZERO") || name == "REMOTE_USER" || name == "HTTP_FROM" || name == "HTTP_TE" {
			t.Errorf("%d times %s", n, name)
		}
	}
	_, text = ask(t, "GET", url+"/env%2F%C3%A4+b", "", nil)
	if !strings.Contains(text, "hello from /env/ä+b") {
		t.Errorf("%q", text)
	}
	// A query without "=" is no command line (CVE-2012-1823).
	if _, text = ask(t, "GET", url+"/args?-s+-d+x", "", nil); text != "" {
		t.Errorf("arguments %q", text)
	}
	c := d.RunAnother(t, "args", append(slices.Clone(asCGI), "cgi", "one", "two")...)
	if _, text = ask(t, "GET", "http://"+published(t, d, c, "8080")+"/args?x", "", nil); text != "one\ntwo\n" {
		t.Errorf("arguments %q", text)
	}
}

func cgiBodies(t *testing.T, d *testenv.Docker) {
	c, url := startCGI(t, d)
	large := strings.Repeat("0123456789abcdef", 1<<17)
	answer, text := ask(t, "POST", url+"/echo", large, func(r *http.Request) { r.Header.Set("Content-Type", "text/x") })
	if text != large || answer.Header.Get("Content-Type") != "text/x" || answer.Header.Get("X-Length") != fmt.Sprint(len(large)) {
		t.Errorf("%d bytes of %d, %v", len(text), len(large), answer.Header)
	}
	// While the client still sends, at its own pace.
	r, w := io.Pipe()
	go func() {
		for i := range 4 {
			fmt.Fprintf(w, "part %d\n", i)
			time.Sleep(50 * time.Millisecond)
		}
		w.Close()
	}()
	request, err := http.NewRequest("POST", url+"/echo", r)
	if err != nil {
		t.Fatal(err)
	}
	request.ContentLength = 4 * 7
	request.Header.Set("Content-Type", "text/plain")
	if echoed, err := client().Do(request); err != nil {
		t.Error(err)
	} else if data, err := io.ReadAll(echoed.Body); err != nil || string(data) != "part 0\npart 1\npart 2\npart 3\n" {
		t.Errorf("%q, %v", data, err)
	}
	// It need not be read.
	if _, text := ask(t, "PUT", url+"/unread", large, nil); text != "hello from /unread\n" {
		t.Errorf("%q", text)
	}
	if _, text := ask(t, "GET", url+"/count", "", nil); text != "0\n" {
		t.Errorf("%q", text)
	}
	// The connection can be used again after a body, also one that was not read.
	kept := &http.Client{Timeout: 20 * time.Second}
	for _, path := range []string{"/echo", "/unread", "/count", "/exit", "/echo"} {
		r, err := kept.Post(url+path, "text/plain", strings.NewReader("some text"))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, r.Body)
		r.Body.Close()
	}
	got := raw(t, url, "POST /count HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: 2\r\n\r\nab")
	if !strings.HasPrefix(got, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n") || !strings.HasSuffix(got, "\r\n\r\n2\n") {
		t.Errorf("%q", got)
	}
	// Half a body is not taken for a whole one.
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, "POST /count HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n0123456789")
	time.Sleep(100 * time.Millisecond)
	conn.Close()
	waitError(t, c, "read 10 of 100")
}

func cgiAnswers(t *testing.T, d *testenv.Docker) {
	_, url := startCGI(t, d)
	if answer, _ := ask(t, "GET", url+"/status?404%20No", "", nil); answer.StatusCode != 502 { // nothing is decoded
		t.Errorf("%d", answer.StatusCode)
	}
	for _, tc := range []struct {
		method, path string
		status       int
		text         string
	}{
		{"GET", "/status?404", 404, "as asked\n"},
		{"GET", "/status?201", 201, "as asked\n"},
		{"HEAD", "/status?200", 200, ""},
		{"GET", "/status?204", 204, ""},
		{"GET", "/status?304", 304, ""},
		{"GET", "/length?5", 200, "12345"},
		{"HEAD", "/length?5", 200, ""},
		{"DELETE", "/x", 200, "hello from /x\n"},
		{"GET", "/away", 302, ""},
		{"GET", "/trailing/", 200, "hello from /trailing/\n"},
	} {
		answer, text := ask(t, tc.method, url+tc.path, "", nil)
		if answer.StatusCode != tc.status || text != tc.text {
			t.Errorf("%s %s: %d, %q", tc.method, tc.path, answer.StatusCode, text)
		}
		switch {
		case strings.HasPrefix(tc.path, "/status") && !slices.Equal(answer.Header["Set-Cookie"], []string{"a=1", "b=2"}):
			t.Errorf("cookies %q", answer.Header["Set-Cookie"])
		case tc.path == "/away" && answer.Header.Get("Location") != "http://other.test/x":
			t.Errorf("%+v", answer.Header)
		case tc.path == "/length?5" && answer.ContentLength != 5, tc.path == "/x" && answer.ContentLength != 14:
			t.Errorf("%s: the length is %d", tc.path, answer.ContentLength)
		}
	}
	for range 20 {
		ask(t, "POST", url+"/here", "a body", nil)
	}
	_, text := ask(t, "POST", url+"/here", "a body", nil)
	for _, want := range []string{"REQUEST_METHOD=GET\n", "QUERY_STRING=redirected=1\n", "PATH_INFO=/env\n"} {
		if !strings.Contains(text, want) || strings.Contains(text, "CONTENT_LENGTH") {
			t.Errorf("%s is not in %q", want, text)
		}
	}
}

func cgiNoAnswers(t *testing.T, d *testenv.Docker) {
	c, url := startCGI(t, d)
	for path, line := range map[string]string{
		"/trap":       `cgi: "GET /trap": the program failed: it trapped: wasm error: unreachable`,
		"/abort":      `cgi: "GET /abort": the program failed: it trapped: `,
		"/exit?3":     `cgi: "GET /exit?3": the program failed: it exited with status 3 before the header of its answer was complete`,
		"/exit?0":     `cgi: "GET /exit?0": the program failed: it exited with status 0 before`,
		"/garbage":    `cgi: "GET /garbage": the program failed: it wrote "HTTP/1.1 200 OK" in the place of a header field`,
		"/untyped":    `cgi: "GET /untyped": the program failed: it says neither Content-Type nor Status nor Location`,
		"/endless":    `cgi: "GET /endless": the program failed: the header of its answer is longer than 65536 bytes`,
		"/status?99":  `cgi: "GET /status?99": the program failed: it says Status "99"`,
		"/status?100": `it says Status "100"`,
		"/circle":     `cgi: "GET /circle": it redirects more than 10 times`,
		"/length?-1":  `it says Content-Length "-1"`,
	} {
		if answer, text := ask(t, "GET", url+path, "", nil); answer.StatusCode != 502 || text != "Bad Gateway\n" {
			t.Errorf("%s: %d, %q", path, answer.StatusCode, text)
		}
		waitError(t, c, line)
	}
	if logs := c.Logs(t); !strings.Contains(logs.Stderr, "wasm stack trace") {
		t.Errorf("%+v", logs)
	}
	get(t, client(), url+"/after", "hello from /after\n")
}

// An answer that is not complete must not look so.
func cgiCut(t *testing.T, d *testenv.Docker) {
	c, url := startCGI(t, d)
	for path, line := range map[string]string{
		"/half?100": "it trapped",
		"/length?9": "its answer has 5 bytes, but says 9",
		"/length?3": "its answer is longer than it says",
	} {
		answer, err := client().Get(url + path)
		if err == nil {
			data, readErr := io.ReadAll(answer.Body)
			answer.Body.Close()
			if readErr == nil && answer.StatusCode == 200 {
				t.Errorf("%s: %d, %q", path, answer.StatusCode, data)
			}
		}
		waitError(t, c, line)
	}
	// What has not been sent is taken back.
	if answer, text := ask(t, "GET", url+"/half?0", "", nil); answer.StatusCode != 502 {
		t.Errorf("%d, %q", answer.StatusCode, text)
	}
}

func cgiRefused(t *testing.T, d *testenv.Docker) {
	c, url := startCGI(t, d)
	for request, status := range map[string]int{
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n":            411,
		"GET /a/../b HTTP/1.1\r\nHost: x\r\n":                                     400,
		"GET /%2e%2e/b HTTP/1.1\r\nHost: x\r\n":                                   400,
		"GET /%00 HTTP/1.1\r\nHost: x\r\n":                                        400,
		"OPTIONS * HTTP/1.1\r\nHost: x\r\n":                                       400,
		"CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n":                                   405,
		"GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X: 1\r\n", 200):         431,
		"GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 32<<10) + "\r\n": 431,
		"GET / HTTP/1.1\r\n":                                                      400,
		"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n": 400,
		"GET / HTTP/1.1\r\nHost: x\r\nX : 1\r\n":                                  400,
		"nonsense\r\n":                                                            400,
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(testenv.Slow(20 * time.Second)))
		fmt.Fprint(conn, request+"\r\n")
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || answer.StatusCode != status {
			t.Errorf("%.60q: %+v, %v; want %d", request, answer, err, status)
		}
		conn.Close()
	}
	if logs := c.Logs(t); strings.Contains(logs.Stderr, "program") {
		t.Errorf("%+v", logs)
	}
}

// Each request has a memory of its own.
func cgiStateless(t *testing.T, d *testenv.Docker) {
	_, url := startCGI(t, d, "--env", "OWN=1")
	for range 10 {
		get(t, client(), url+"/state", "1 nothing\n")
		if _, text := ask(t, "GET", url+"/env", "", nil); strings.Contains(text, "KEPT") || !strings.Contains(text, "OWN=1") {
			t.Errorf("%q", text)
		}
	}
	_, _ = client().Get(url + "/trap")
	get(t, client(), url+"/state", "1 nothing\n")
	get(t, client(), url+"/file", "no such file\n")
}

func cgiStreams(t *testing.T, d *testenv.Docker) {
	_, url := startCGI(t, d)
	begun := time.Now()
	answer, err := client().Get(url + "/drip?2000")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	first := make([]byte, 5)
	if _, err := io.ReadFull(answer.Body, first); err != nil || time.Since(begun) > testenv.Slow(1900*time.Millisecond) {
		t.Errorf("the first drop came after %v, %v", time.Since(begun), err)
	}
	rest, err := io.ReadAll(answer.Body)
	if err != nil || string(rest) != "drop\ndrop\n" {
		t.Errorf("%q, %v", rest, err)
	}
	huge, err := client().Get(url + "/huge?2000") // 125 MiB
	if err != nil {
		t.Fatal(err)
	}
	defer huge.Body.Close()
	h := &sameBytes{want: 'h'}
	if n, err := io.Copy(h, huge.Body); err != nil || n != 2000<<16 || h.others > 0 {
		t.Errorf("%d bytes, %d wrong, %v", n, h.others, err)
	}
}

// sameBytes counts others than the one that is wanted.
type sameBytes struct {
	want   byte
	others int
}

func (s *sameBytes) Write(b []byte) (int, error) {
	s.others += len(b) - bytes.Count(b, []byte{s.want})
	return len(b), nil
}

// A program whose client has gone is told when it writes, and makes room.
func cgiGone(t *testing.T, d *testenv.Docker) {
	c, url := startCGI(t, d, "--annotation", "io.containerd.wazero.v1.cgi=2")
	for range 4 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(conn, "GET /huge?1000000 HTTP/1.1\r\nHost: x\r\n\r\n")
		if _, err := io.ReadFull(conn, make([]byte, 1<<20)); err != nil {
			t.Error(err)
		}
		conn.Close()
	}
	get(t, client(), url+"/a", "hello from /a\n")
	testenv.Eventually(t, "four programs that could not write", func() error {
		if n := strings.Count(c.Logs(t).Stderr, "write: "); n != 4 {
			return fmt.Errorf("there are %d", n)
		}
		return nil
	})
}

// What a program has not read of a body is never taken for a request, also if it comes
// when the request has long been answered.
func cgiSmuggled(t *testing.T, d *testenv.Docker) {
	const pieces = 30
	_, url := startCGI(t, d)
	for _, path := range []string{"/unread", "/exit", "/trap", "/here", "/half", "/status?204", "/huge?10", "/a/../b"} {
		for _, count := range []int{1, 10, 100_000, 300_000} { // of bytes before: in one piece, more than a pipe holds, more than net/http reads
			t.Run(fmt.Sprint(path, " ", count), func(t *testing.T) {
				t.Parallel()
				conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(testenv.Slow(20 * time.Second)))
				body := strings.Repeat("GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n", pieces)
				go func() { // until the connection is closed
					fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", path, count+len(body), strings.Repeat("x", count))
					for part := range slices.Chunk([]byte(body), len(body)/pieces) {
						time.Sleep(30 * time.Millisecond)
						_, _ = conn.Write(part)
					}
					fmt.Fprint(conn, "GET /second HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
				}()
				got, err := io.ReadAll(conn) // it may be reset
				answers := strings.Count(string(got), "HTTP/1.1 ")
				second := strings.Count(string(got), "hello from /second\n")
				if strings.Contains(string(got), "smuggled") || answers-second > 1 {
					t.Errorf("%d answers, %d of them to the second request, %v: %.2000q", answers, second, err, got)
				}
			})
		}
	}
}
