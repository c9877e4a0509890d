package cgi

import (
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// software is SERVER_SOFTWARE.
const software = "containerd-shim-wazero"

// target is what is asked of the program: that of a request, or of a local redirect.
type target struct {
	method string
	path   string // decoded
	query  string
	uri    string // path and query as the client has them
	body   bool
}

func targetOf(r *http.Request) target {
	return target{method: r.Method, path: r.URL.Path, query: r.URL.RawQuery, uri: pathAndQuery(r), body: r.ContentLength > 0}
}

// pathAndQuery is what the client has written of them. A request as for a proxy has more
// (RFC 9112 section 3.2.2): net/http has made the Host of that.
func pathAndQuery(r *http.Request) string {
	_, rest, absolute := strings.Cut(r.RequestURI, "://")
	if strings.HasPrefix(r.RequestURI, "/") || !absolute {
		return r.RequestURI
	}
	if at := strings.IndexAny(rest, "/?"); at >= 0 {
		return rest[at:]
	}
	return "/"
}

// metaVariables are those that tell of the request (RFC 3875 section 4.1), and two that
// everybody else has too. None of them is the container's.
var metaVariables = map[string]bool{
	"AUTH_TYPE": true, "CONTENT_LENGTH": true, "CONTENT_TYPE": true, "GATEWAY_INTERFACE": true, "PATH_INFO": true,
	"PATH_TRANSLATED": true, "QUERY_STRING": true, "REMOTE_ADDR": true, "REMOTE_HOST": true, "REMOTE_IDENT": true, "REMOTE_USER": true,
	"REQUEST_METHOD": true, "SCRIPT_NAME": true, "SERVER_NAME": true, "SERVER_PORT": true, "SERVER_PROTOCOL": true,
	"SERVER_SOFTWARE": true, "REQUEST_URI": true, "REMOTE_PORT": true,
}

const (
	headerPrefix = "HTTP_"
	// proxyVariable is what many programs take for the proxy that they are to use
	// (CVE-2016-5385, "httpoxy"): it is the container's, never a client's.
	proxyVariable = headerPrefix + "PROXY"
)

// without are the container's variables that tell of no request.
func without(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return metaVariables[name] || strings.HasPrefix(name, headerPrefix) && name != proxyVariable
	})
}

// environ is the container's environment and that of a request. The program is the only
// one that there is, so SCRIPT_NAME is empty, and the whole path is PATH_INFO.
func environ(base []string, r *http.Request, t target) []string {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	address, port := split(local)
	client, clientPort, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil { // of a unix socket: there is no address
		client, clientPort = "", ""
	}
	env := append(slices.Clip(base),
		"GATEWAY_INTERFACE=CGI/1.1",
		"SERVER_SOFTWARE="+software,
		"SERVER_PROTOCOL="+r.Proto,
		"SERVER_NAME="+serverName(r.Host, address),
		"SERVER_PORT="+port,
		"REQUEST_METHOD="+t.method,
		"REQUEST_URI="+t.uri,
		"SCRIPT_NAME=",
		"PATH_INFO="+t.path,
		"QUERY_STRING="+t.query,
		"REMOTE_ADDR="+client,
		"REMOTE_PORT="+clientPort,
	)
	if t.body {
		env = append(env, "CONTENT_LENGTH="+strconv.FormatInt(r.ContentLength, 10))
		if kind := r.Header.Get("Content-Type"); kind != "" {
			env = append(env, "CONTENT_TYPE="+kind)
		}
	}
	if r.Host != "" {
		env = append(env, "HTTP_HOST="+r.Host)
	}
	return appendHeader(env, r.Header)
}

// defaultPort is that of a server without ports, at a unix socket.
const defaultPort = "80"

func split(a net.Addr) (address, port string) {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.IP.String(), strconv.Itoa(tcp.Port)
	}
	return "localhost", defaultPort
}

// serverName is how the client calls the server, if it does.
func serverName(host, address string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if host = strings.Trim(host, "[]"); host == "" {
		host = address
	}
	if strings.Contains(host, ":") {
		return "[" + host + "]" // section 4.1.14
	}
	return host
}

// notPassed are header fields that have a variable of their own, or are about the
// connection and not the request (RFC 9110 section 7.6.1). Authorization is passed on,
// other than section 4.1.18 recommends: nobody here has looked at it, and the program's
// environment is seen by nobody else.
var notPassed = map[string]bool{
	"Content-Type": true, "Content-Length": true, "Host": true, "Proxy": true, "Connection": true, "Keep-Alive": true,
	"Proxy-Connection": true, "Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true, "Expect": true,
}

// appendHeader passes on header fields, in the order of their names. A name with anything
// but letters, digits and dashes is not: as a variable it could be taken for another one.
func appendHeader(env []string, h http.Header) []string {
	names := make([]string, 0, len(h))
	for name := range h {
		if !notPassed[name] && plain(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		separator := ", "
		if name == "Cookie" {
			separator = "; " // RFC 6265 section 5.4
		}
		variable := headerPrefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		env = append(env, variable+"="+strings.Join(h[name], separator))
	}
	return env
}

func plain(name string) bool {
	return !strings.ContainsFunc(name, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-'
	})
}
