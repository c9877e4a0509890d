package job

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// ReportKind is what a runner says.
type ReportKind string

const (
	// Ready: the module is compiled, all that it imports is there, and the
	// guest runs as soon as the shim says Go.
	Ready ReportKind = "ready"
	// Failed: the guest cannot run; Message is a sentence for the user. The
	// runner exits after it.
	Failed ReportKind = "failed"
	// OutOfMemory: the guest was refused memory at the container's limit and
	// could not go on. The runner exits after it.
	OutOfMemory ReportKind = "out-of-memory"
)

// Report is one line of JSON on the control socket, from runner to shim.
type Report struct {
	Kind    ReportKind `json:"kind"`
	Message string     `json:"message,omitempty"`
}

// maxReport bounds a report in bytes: the other end may be a guest that escaped.
const maxReport = 16 << 10

// ErrNonsense is wrapped by ReadReport's error if a runner breaks the protocol.
var ErrNonsense = errors.New("the runner sent what no runner sends")

// goLine is what the shim writes when the guest may run.
const goLine = "go\n"

// Control is either end of the control socket.
//
// The order is: the runner reports Ready or Failed, the shim answers Go after
// Ready, and later the runner may report OutOfMemory. The end of the socket
// tells either side that the other one is gone.
type Control struct {
	conn io.ReadWriter
	r    *bufio.Reader
}

// NewControl wraps a connected stream socket.
func NewControl(conn io.ReadWriter) *Control {
	return &Control{conn: conn, r: bufio.NewReaderSize(conn, maxReport)}
}

// Report is called by the runner. A message that is too long is cut.
func (c *Control) Report(r Report) error {
	const max = maxReport / 8 // JSON needs at most six bytes for one
	if len(r.Message) > max {
		r.Message = r.Message[:max] + " …"
	}
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode report: %w", err)
	}
	if _, err := c.conn.Write(append(data, '\n')); err != nil {
		return fmt.Errorf("report %s to the shim: %w", r.Kind, err)
	}
	return nil
}

// ReadReport is called by the shim. It returns io.EOF when the runner is gone,
// and makes what it returns printable.
func (c *Control) ReadReport() (Report, error) {
	line, err := c.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return Report{}, fmt.Errorf("%w: an overlong report", ErrNonsense)
	}
	if err != nil {
		return Report{}, err
	}
	var r Report
	if err := json.Unmarshal(line, &r); err != nil {
		return Report{}, fmt.Errorf("%w: a malformed report", ErrNonsense)
	}
	switch r.Kind {
	case Ready, Failed, OutOfMemory:
	default:
		return Report{}, fmt.Errorf("%w: an unknown report", ErrNonsense)
	}
	r.Message = printable(r.Message)
	return r, nil
}

// Go lets the guest run; called by the shim, possibly before the runner asks.
func (c *Control) Go() error {
	if _, err := io.WriteString(c.conn, goLine); err != nil {
		return fmt.Errorf("tell the runner to go: %w", err)
	}
	return nil
}

// WaitGo is called by the runner; it returns io.EOF when the shim is gone.
func (c *Control) WaitGo() error {
	line, err := c.r.ReadString('\n')
	if err != nil {
		return err
	}
	if line != goLine {
		return fmt.Errorf("shim sent %q instead of %q", line, goLine)
	}
	return nil
}

// printable keeps a hostile runner from writing escape sequences into logs and
// terminals.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) {
			return ' '
		}
		return r
	}, s)
}
