package cgi

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/printable"
)

// maxAnswerHeader bounds the header of an answer, in bytes.
const maxAnswerHeader = 64 << 10

// answer is the header of what a program writes (RFC 3875 section 6).
type answer struct {
	status int
	header http.Header
	// local is where a local redirect leads, which has nothing else; "" for others.
	local string
}

// errCut is the error of a header that ends too early.
var errCut = errors.New("before the header of its answer was complete")

// readAnswer reads a header. The error wraps errCut if there is no more, or is that of
// the reader, or is a phrase about what the program has written.
func readAnswer(r *bufio.Reader) (*answer, error) {
	a := &answer{header: make(http.Header)}
	status := ""
	for left := maxAnswerHeader; ; {
		line, err := readLine(r, &left)
		if err != nil {
			return nil, err
		}
		if line == "" {
			break
		}
		name, value, err := field(line)
		if err != nil {
			return nil, err
		}
		switch {
		case name == "Status" && status != "":
			return nil, errors.New("it says two Status")
		case name == "Status":
			status = value
		case !dropped[name]:
			a.header.Add(name, value)
		}
	}
	return a, a.complete(status)
}

// dropped are fields that are about the connection, which is not the program's.
var dropped = map[string]bool{
	"Connection": true, "Keep-Alive": true, "Proxy-Connection": true, "Te": true, "Trailer": true,
	"Transfer-Encoding": true, "Upgrade": true,
}

// readLine reads a line that ends with LF or CR LF.
func readLine(r *bufio.Reader, left *int) (string, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if *left -= len(part); *left < 0 {
			return "", fmt.Errorf("the header of its answer is longer than %d bytes", maxAnswerHeader)
		}
		line = append(line, part...)
		switch {
		case err == nil:
			return strings.TrimSuffix(string(line[:len(line)-1]), "\r"), nil
		case errors.Is(err, io.EOF):
			return "", errCut
		case !errors.Is(err, bufio.ErrBufferFull):
			return "", err
		}
	}
}

func field(line string) (name, value string, err error) {
	name, value, ok := strings.Cut(line, ":")
	value = strings.Trim(value, " \t")
	if !ok || name == "" || strings.ContainsFunc(name, isNoToken) || strings.ContainsFunc(value, isControl) {
		return "", "", fmt.Errorf("it wrote %q in the place of a header field", printable.Cut(line, 100))
	}
	return textproto.CanonicalMIMEHeaderKey(name), value, nil
}

// isNoToken: RFC 9110 section 5.6.2.
func isNoToken(c rune) bool {
	return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", c)
}

func isControl(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }

// complete makes sure that there is an answer.
func (a *answer) complete(status string) error {
	location := a.header.Get("Location")
	switch {
	case len(a.header["Location"]) > 1:
		return errors.New("it says two Locations")
	case status != "":
		code, _, _ := strings.Cut(status, " ")
		n, err := strconv.Atoi(code)
		if err != nil || len(code) != 3 || n < 200 || n > 599 {
			return fmt.Errorf("it says Status %q", printable.Cut(status, 100))
		}
		a.status = n
	case strings.HasPrefix(location, "/") && !strings.HasPrefix(location, "//"):
		if _, err := url.ParseRequestURI(location); err != nil {
			return fmt.Errorf("it says Location %q", printable.Cut(location, 100))
		}
		a.local = location // section 6.2.2
	case location != "":
		a.status = http.StatusFound // section 6.2.3
	case a.header.Get("Content-Type") == "":
		return errors.New("it says neither Content-Type nor Status nor Location")
	default:
		a.status = http.StatusOK
	}
	if lengths := a.header["Content-Length"]; len(lengths) > 0 {
		n, err := strconv.ParseUint(lengths[0], 10, 63)
		if err != nil || len(lengths) > 1 {
			return fmt.Errorf("it says Content-Length %q", printable.Cut(strings.Join(lengths, ", "), 100))
		}
		a.header.Set("Content-Length", strconv.FormatUint(n, 10))
	}
	return nil
}

// bodiless tells whether an answer with this status has no body (RFC 9110 section 6.4.1).
func bodiless(status int) bool {
	return status == http.StatusNoContent || status == http.StatusNotModified
}
