package cgi

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/printable"
)

// maxRedirects bounds how often a program may send a request to itself once more.
const maxRedirects = 10

// ServeHTTP answers a request.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.crowded() {
		w.Header().Set("Connection", "close")
	}
	v := &visit{w: w, r: r, client: http.NewResponseController(w)}
	v.whole.Store(r.ContentLength == 0)
	if status, reason := refuse(r); status != 0 {
		v.refuse()
		http.Error(w, reason, status)
		return
	}
	t := targetOf(r)
	for range maxRedirects {
		local, err := s.exchange(v, t)
		switch {
		case err != nil:
			s.fail(v, err)
			return
		case local == "":
			return
		}
		t = redirected(t, local)
	}
	s.fail(v, &failure{http.StatusBadGateway, fmt.Sprintf("it redirects more than %d times", maxRedirects), false})
}

// visit is a client's request.
type visit struct {
	w      http.ResponseWriter
	r      *http.Request
	client *http.ResponseController
	// whole tells that the body has been read to its end.
	whole atomic.Bool
}

// begins is called before the header of an answer is written. What is left of a body must
// never be taken for the next request, so no other can follow.
func (v *visit) begins() {
	if !v.whole.Load() {
		v.w.Header().Set("Connection", "close")
		v.conn().unread.Store(true)
	}
}

func (v *visit) conn() *conn { return v.r.Context().Value(connKey{}).(*conn) }

// refuse is begins for a request whose body nobody has begun to read, or to wait for.
func (v *visit) refuse() {
	v.begins()
	if !v.whole.Load() {
		_ = v.client.SetReadDeadline(time.Unix(1, 0))
	}
}

// redirected is the target of a local redirect, which has no body (section 6.2.2).
func redirected(t target, location string) target {
	u, err := url.ParseRequestURI(location)
	if err != nil { // readAnswer has tried
		u = &url.URL{Path: "/"}
	}
	method := http.MethodGet
	if t.method == http.MethodHead {
		method = t.method
	}
	return target{method: method, path: u.Path, query: u.RawQuery, uri: location}
}

// failure is why a request has no answer of the program's.
type failure struct {
	status int
	reason string
	// begun tells that the answer has begun, and cannot be taken back.
	begun bool
}

func (f *failure) Error() string { return f.reason }

// errGone is the error of an exchange whose client is not there any more.
var errGone = errors.New("the client has gone")

// fail says so in the log, and to the client if it can still be told. An answer that has
// begun is cut: it must not look complete.
func (s *server) fail(v *visit, err error) {
	var f *failure
	if !errors.As(err, &f) {
		panic(http.ErrAbortHandler)
	}
	fmt.Fprintln(s.Log, s.line(v.r, f.reason))
	if f.begun {
		panic(http.ErrAbortHandler)
	}
	s.mayWrite(v) // the last time may be long ago
	v.begins()
	if f.status == http.StatusServiceUnavailable {
		v.refuse()
		v.w.Header().Set("Retry-After", "1")
	}
	http.Error(v.w, http.StatusText(f.status), f.status)
}

// mayWrite gives the client time to read what is written next.
func (s *server) mayWrite(v *visit) { _ = v.client.SetWriteDeadline(time.Now().Add(s.Patience)) }

// line is one of the log.
func (s *server) line(r *http.Request, reason string) string {
	return fmt.Sprintf("cgi: %q: %s", printable.Cut(r.Method+" "+r.RequestURI, 200), reason)
}
