package compilejob

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/printable"
)

// Kind is how a compilation ended.
type Kind string

const (
	// Compiled: the code follows.
	Compiled Kind = "compiled"
	// Refused: the module cannot be compiled, now or ever.
	Refused Kind = "refused"
	// Unsupported: no module can be compiled on this machine.
	Unsupported Kind = "unsupported"
	// OutOfMemory: it took more memory than the job allows. The process may also
	// be killed for it.
	OutOfMemory Kind = "out-of-memory"
	// Failed: the compiler could not make itself harmless, or has a fault.
	Failed Kind = "failed"
)

// Result is one line of JSON. After the line of a compiled module come prefix,
// code and suffix, exactly as many bytes as are announced, and the end.
type Result struct {
	Kind Kind `json:"kind"`
	// Message is a sentence for the user, unless the module was compiled.
	Message string `json:"message,omitempty"`
	// Key is engine.Code's.
	Key Key `json:"key,omitzero"`
	// Sizes of the parts in bytes.
	Prefix int64 `json:"prefix,omitempty"`
	Code   int64 `json:"code,omitempty"`
	Suffix int64 `json:"suffix,omitempty"`
}

// Key is written in hexadecimal.
type Key [32]byte

// MarshalText implements encoding.TextMarshaler.
func (k Key) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, k[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (k *Key) UnmarshalText(text []byte) error {
	if hex.DecodedLen(len(text)) != len(k) {
		return fmt.Errorf("a key of %d digits", len(text))
	}
	_, err := hex.Decode(k[:], text)
	return err
}

const (
	// maxResult bounds the line in bytes.
	maxResult = 16 << 10
	// maxMessage bounds a message in bytes, of which JSON makes six at most.
	maxMessage = maxResult / 8
)

// ErrNonsense is wrapped by the errors of a Reader about what no compiler sends.
var ErrNonsense = errors.New("the compiler sent what no compiler sends")

// Write is called by the compiler. A message that is too long is cut.
func Write(w io.Writer, r Result, parts ...[]byte) error {
	r.Message = printable.Cut(r.Message, maxMessage)
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode result: %w", err)
	}
	for _, part := range append([][]byte{append(data, '\n')}, parts...) {
		if _, err := w.Write(part); err != nil {
			return fmt.Errorf("hand over the result: %w", err)
		}
	}
	return nil
}

// Reader is the shim's end.
type Reader struct{ r *bufio.Reader }

// NewReader reads a compiler's result.
func NewReader(r io.Reader) *Reader { return &Reader{bufio.NewReaderSize(r, maxResult)} }

// Result reads the line, of code of max bytes at most in all its parts. It makes
// the message printable. The error is io.ErrUnexpectedEOF if the compiler ended
// before that, wraps ErrNonsense if it sent anything else, and else is the
// reader's.
func (r *Reader) Result(max int64) (Result, error) {
	line, err := r.r.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return Result{}, fmt.Errorf("%w: an overlong line", ErrNonsense)
	case errors.Is(err, io.EOF) && len(line) > 0:
		return Result{}, fmt.Errorf("%w: a line without an end", ErrNonsense)
	case errors.Is(err, io.EOF):
		return Result{}, io.ErrUnexpectedEOF
	case err != nil:
		return Result{}, err
	}
	var result Result
	if err := json.Unmarshal(line, &result); err != nil {
		return Result{}, fmt.Errorf("%w: a malformed line", ErrNonsense)
	}
	if err := result.check(max); err != nil {
		return Result{}, fmt.Errorf("%w: %w", ErrNonsense, err)
	}
	result.Message = printable.Text(printable.Cut(result.Message, maxMessage))
	return result, nil
}

// Code is what follows the line.
func (r *Reader) Code() io.Reader { return r.r }

func (r *Result) check(max int64) error {
	switch r.Kind {
	case Compiled:
		rest := max
		for _, size := range []int64{r.Prefix, r.Code, r.Suffix} {
			if size < 0 || size > rest {
				return fmt.Errorf("code of %d, %d and %d bytes, where %d are the limit", r.Prefix, r.Code, r.Suffix, max)
			}
			rest -= size
		}
	case Refused, Unsupported, OutOfMemory, Failed:
		if r.Prefix != 0 || r.Code != 0 || r.Suffix != 0 {
			return errors.New("code, though there is none")
		}
		if r.Message == "" {
			return errors.New("no reason")
		}
	default:
		return errors.New("an unknown result")
	}
	return nil
}
