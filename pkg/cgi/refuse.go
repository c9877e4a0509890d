package cgi

import (
	"net/http"
	"slices"
	"strings"
)

const (
	// maxHeader bounds a request's header in bytes; net/http adds 4096.
	maxHeader = 16 << 10
	// maxFields bounds the number of its fields, each of which takes much more than its
	// bytes.
	maxFields = 128
)

// refuse returns the status for a request that no program sees, and why, or 0.
func refuse(r *http.Request) (status int, reason string) {
	fields := 0
	for _, values := range r.Header {
		fields += len(values)
	}
	switch {
	case fields > maxFields:
		return http.StatusRequestHeaderFieldsTooLarge, "too many header fields"
	case r.Method == http.MethodConnect:
		return http.StatusMethodNotAllowed, "this is no proxy"
	case r.ContentLength < 0: // section 4.1.2 needs to know
		return http.StatusLengthRequired, "the length of the body is required"
	case !strings.HasPrefix(r.URL.Path, "/"):
		return http.StatusBadRequest, "the path does not begin with /"
	case strings.ContainsRune(r.URL.Path, 0):
		return http.StatusBadRequest, "the path has a zero byte"
	case slices.Contains(strings.Split(r.URL.Path, "/"), ".."):
		// Programs make file names of it.
		return http.StatusBadRequest, "the path leads upwards"
	}
	return 0, ""
}
