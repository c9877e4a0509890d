package job

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"syscall"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/printable"
)

// Conn is a connected unix stream socket: a *net.UnixConn, or an *os.File.
type Conn interface {
	io.ReadWriter
	SyscallConn() (syscall.RawConn, error)
}

// Control is either end of the control socket.
//
// The shim orders: Enter if the job has a room, then Code or NoCode, then Go; all
// may be sent before the runner asks, or is even executed. Only Proceed, before
// Code, is an answer, to Prepared. The runner reports: Entered when the room is made,
// Ready or Failed once it knows, or Stale, which the shim answers with Code or NoCode
// once more. Later the shim may order Terminate or Interrupt, if the job is graceful,
// and the runner may report OutOfMemory. The end of the socket tells either side that
// the other one is gone.
type Control struct {
	conn Conn
	r    *bufio.Reader
}

// NewControl wraps a connected unix stream socket.
func NewControl(conn Conn) *Control {
	return &Control{conn: conn, r: bufio.NewReaderSize(conn, maxReport)}
}

// ReportKind is what a runner says.
type ReportKind string

const (
	// Prepared: everything is mounted, and the host is still there, for hooks that
	// want to see both. Only for a room that has hooks.
	Prepared ReportKind = "prepared"
	// Entered: the room is made, and nothing but what is in it can be reached any
	// more. Message is what could not be had and is no reason to give up, or empty.
	Entered ReportKind = "entered"
	// Ready: the module is loaded, all that it imports is there, and the guest
	// runs as soon as the shim says Go.
	Ready ReportKind = "ready"
	// Stale: the code that the shim sent is not for the module, or damaged, for
	// the reason in Message, and has not been used. The runner waits for other
	// code, or NoCode.
	Stale ReportKind = "stale"
	// Failed: the guest cannot run; Message is a sentence for the user. The
	// runner exits after it.
	Failed ReportKind = "failed"
	// OutOfMemory: the guest was refused memory at the container's limit and
	// could not go on. The runner exits after it.
	OutOfMemory ReportKind = "out-of-memory"
)

// CodeUse is where the machine code of a guest is from.
type CodeUse string

const (
	// CodeShared: the pages of the file that the shim sent, in the page cache,
	// which all runners of the module use.
	CodeShared CodeUse = "shared"
	// CodePrivate: a copy of that file, in memory of the runner's own.
	CodePrivate CodeUse = "private"
	// CodeCompiled: the runner has compiled the module by itself.
	CodeCompiled CodeUse = "compiled"
	// CodeNone: no code can be generated here, the guest is interpreted.
	CodeNone CodeUse = "none"
)

// Report is one line of JSON on the control socket, from runner to shim.
type Report struct {
	Kind    ReportKind `json:"kind"`
	Message string     `json:"message,omitempty"`
	// Code and Load are for Ready: where the code is from, and the milliseconds
	// it took from the arrival of the code, or of the news that there is none,
	// to this report.
	Code CodeUse `json:"code,omitempty"`
	Load float64 `json:"load,omitempty"`
}

// maxReport bounds a report in bytes: the other end may be a guest that escaped.
const maxReport = 16 << 10

// ErrNonsense is wrapped by ReadReport's error if a runner breaks the protocol.
var ErrNonsense = errors.New("the runner sent what no runner sends")

// Report is called by the runner. A message that is too long is cut.
func (c *Control) Report(r Report) error {
	const max = maxReport / 8 // JSON needs at most six bytes for one
	r.Message = printable.Cut(r.Message, max)
	data, err := r.encode()
	if err != nil {
		return fmt.Errorf("encode report: %w", err)
	}
	if _, err := c.conn.Write(append(data, '\n')); err != nil {
		return fmt.Errorf("report %s to the shim: %w", r.Kind, err)
	}
	return nil
}

// encode is json.Marshal, without the time that it takes to get to know a type for
// the first time. The strings are the constants above; a message may be anything.
func (r *Report) encode() ([]byte, error) {
	if r.Message != "" {
		return json.Marshal(r)
	}
	b := append([]byte(`{"kind":"`), r.Kind...)
	if r.Code != "" {
		b = append(append(b, `","code":"`...), r.Code...)
	}
	b = append(b, '"')
	if r.Load != 0 {
		b = strconv.AppendFloat(append(b, `,"load":`...), r.Load, 'g', -1, 64)
	}
	return append(b, '}'), nil
}

// ReadReport is called by the shim. It returns io.EOF when the runner is gone,
// and makes what it returns printable. Descriptors that a runner sends along are
// lost on the way: reading without asking for them discards them.
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
	if err := r.check(); err != nil {
		return Report{}, err
	}
	// What is no UTF-8 takes more bytes than it was sent in.
	r.Message = printable.Cut(printable.Text(r.Message), maxReport)
	return r, nil
}

// check refuses what Report never sends.
func (r *Report) check() error {
	switch r.Kind {
	case Prepared, Entered, Ready, Stale, Failed, OutOfMemory:
	default:
		return fmt.Errorf("%w: an unknown report", ErrNonsense)
	}
	switch r.Code {
	case CodeShared, CodePrivate, CodeCompiled, CodeNone, "":
	default:
		return fmt.Errorf("%w: code from an unknown place", ErrNonsense)
	}
	const day = 24 * 60 * 60 * 1000.0
	if r.Load < 0 || r.Load > day || math.IsNaN(r.Load) {
		return fmt.Errorf("%w: an impossible duration", ErrNonsense)
	}
	return nil
}
