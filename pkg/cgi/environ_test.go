package cgi

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// variables is the environment of a request, which may be changed before.
func variables(base []string, method, uri string, change func(*http.Request)) []string {
	r := httptest.NewRequest(method, uri, nil)
	r.RequestURI = uri
	local := net.Addr(&net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 8080})
	r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, local))
	r.RemoteAddr = "192.0.2.7:1234"
	if change != nil {
		change(r)
	}
	return environ(without(base), r, targetOf(r))
}

func TestEnvironmentOfARequest(t *testing.T) {
	t.Parallel()
	got := variables([]string{"PATH=/bin"}, "GET", "/a%20b/c?x=%20y", nil)
	want := []string{
		"PATH=/bin", "GATEWAY_INTERFACE=CGI/1.1", "SERVER_SOFTWARE=containerd-shim-wazero", "SERVER_PROTOCOL=HTTP/1.1", "SERVER_NAME=example.com",
		"SERVER_PORT=8080", "REQUEST_METHOD=GET", "REQUEST_URI=/a%20b/c?x=%20y", "SCRIPT_NAME=", "PATH_INFO=/a b/c", "QUERY_STRING=x=%20y",
		"REMOTE_ADDR=192.0.2.7", "REMOTE_PORT=1234", "HTTP_HOST=example.com",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
}

func TestVariables(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		base      []string
		change    func(*http.Request)
		has, lack []string
	}{
		"the container's that tell of no request": {
			base: []string{"A=b", "HTTP_PROXY=http://p", "HTTP_X=1", "QUERY_STRING=q", "CONTENT_LENGTH=7", "REMOTE_USER=u", "SCRIPT_FILENAME=/f", "REDIRECT_STATUS=200"},
			has:  []string{"A=b", "HTTP_PROXY=http://p", "SCRIPT_FILENAME=/f", "REDIRECT_STATUS=200", "QUERY_STRING="},
			lack: []string{"HTTP_X=", "QUERY_STRING=q", "CONTENT_LENGTH=", "REMOTE_USER="},
		},
		"a proxy by a client": {
			change: func(r *http.Request) { r.Header.Set("Proxy", "http://evil") },
			lack:   []string{"HTTP_PROXY="},
		},
		"names that would be taken for others": {
			change: func(r *http.Request) {
				r.Header = http.Header{"X_A": {"1"}, "X-A": {"2"}, "X-\u00c4": {"3"}, "X.B": {"4"}, "Content_length": {"5"}}
			},
			has:  []string{"HTTP_X_A=2"},
			lack: []string{"HTTP_X_A=1", "HTTP_X.B", "HTTP_CONTENT_LENGTH", "CONTENT_LENGTH", "HTTP_X_\u00c4"},
		},
		"several of one name": {
			change: func(r *http.Request) {
				r.Header = http.Header{"Accept": {"a", "b"}, "Cookie": {"c=1", "d=2"}, "Authorization": {"x"}}
			},
			has: []string{"HTTP_ACCEPT=a, b", "HTTP_COOKIE=c=1; d=2", "HTTP_AUTHORIZATION=x"},
		},
		"a body": {
			change: func(r *http.Request) {
				r.ContentLength = 5
				r.Header.Set("Content-Type", "a/b")
			},
			has:  []string{"CONTENT_LENGTH=5", "CONTENT_TYPE=a/b"},
			lack: []string{"HTTP_CONTENT_"},
		},
		"no body": {
			change: func(r *http.Request) { r.Header.Set("Content-Type", "a/b") },
			lack:   []string{"CONTENT_"},
		},
		"an address of IPv6": {
			change: func(r *http.Request) { r.Host, r.RemoteAddr = "[2001:db8::1]:80", "[2001:db8::2]:9" },
			has:    []string{"SERVER_NAME=[2001:db8::1]", "REMOTE_ADDR=2001:db8::2", "REMOTE_PORT=9"},
		},
		"no host": {
			change: func(r *http.Request) { r.Host = "" },
			has:    []string{"SERVER_NAME=10.0.0.1"},
			lack:   []string{"HTTP_HOST="},
		},
		"a unix socket": {
			change: func(r *http.Request) {
				local := net.Addr(&net.UnixAddr{Name: "/run/s", Net: "unix"})
				*r = *r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, local))
				r.RemoteAddr = "@"
				r.Host = ""
			},
			has: []string{"SERVER_NAME=localhost", "SERVER_PORT=80", "REMOTE_ADDR=", "REMOTE_PORT="},
		},
	} {
		got := variables(tc.base, "GET", "/", tc.change)
		for _, v := range tc.has {
			if !slices.Contains(got, v) {
				t.Errorf("%s: %s is not in %q", name, v, got)
			}
		}
		for _, begin := range tc.lack {
			if slices.ContainsFunc(got, func(v string) bool { return strings.HasPrefix(v, begin) }) {
				t.Errorf("%s: %s is in %q", name, begin, got)
			}
		}
	}
}

func TestLocalRedirectHasNoBody(t *testing.T) {
	t.Parallel()
	for method, want := range map[string]string{"POST": "GET", "GET": "GET", "HEAD": "HEAD"} {
		got := redirected(target{method: method, path: "/a", body: true}, "/b%20c?d")
		if got != (target{method: want, path: "/b c", query: "d", uri: "/b%20c?d"}) {
			t.Errorf("%s: %+v", method, got)
		}
	}
}

// TestRequestURIHasNoHost, though the client may write one.
func TestRequestURIHasNoHost(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]string{
		"http://example.com/a%20b?c=/d":   "/a%20b?c=/d",
		"http://u@example.com:80//a":      "//a",
		"http://example.com/":             "/",
		"/a?to=http://example.com/b":      "/a?to=http://example.com/b",
		"//example.com/a":                 "//example.com/a",
		"HTTP://[::1]:80/?http://other/x": "/?http://other/x",
	} {
		if got := variables(nil, "GET", uri, nil); !slices.Contains(got, "REQUEST_URI="+want) {
			t.Errorf("%s: %q, want %s", uri, got, want)
		}
	}
}
