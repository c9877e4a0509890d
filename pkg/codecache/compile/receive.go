package compile

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/entry"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/compilejob"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/memfd"
)

// Bounds of compiled code, in bytes: real modules become 1 to 6 times as large.
const (
	codeBase    = 64 << 20
	codePerByte = 16
)

// mostCode is what a compiler may hand over for a module. It has had all of it in
// its memory twice.
func mostCode(moduleSize, memory int64) int64 {
	return min(codeBase+codePerByte*moduleSize, memory/2, entry.MaxSize)
}

// errEnded: the compiler closed its end before everything was said.
var errEnded = errors.New("it ended too early")

// receive takes the result. The memfd with the entry is nil if there is no code.
func (t *task) receive(from io.Reader) (compilejob.Result, *os.File, error) {
	r := compilejob.NewReader(from)
	result, err := r.Result(mostCode(t.header.ModuleSize, t.config.Memory))
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = errEnded
	}
	if err != nil {
		return result, nil, err
	}
	code := &exactly{r: r.Code(), left: result.Prefix + result.Code + result.Suffix}
	if result.Kind != compilejob.Compiled {
		_, err := io.Copy(io.Discard, code) // there must be nothing
		return result, nil, err
	}
	h := t.header
	h.EngineKey, h.PrefixSize, h.CodeSize, h.SuffixSize = result.Key, result.Prefix, result.Code, result.Suffix
	file, err := create(h, code)
	return result, file, err
}

// create makes a sealed memfd with an entry.
func create(h entry.Header, code io.Reader) (_ *os.File, err error) {
	file, err := memfd.New("code")
	if err != nil {
		return nil, err
	}
	if err := errors.Join(entry.Create(file, h, code), memfd.Seal(file)); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// exactly reads as many bytes as were announced, and the end.
type exactly struct {
	r    io.Reader
	left int64
}

func (e *exactly) Read(b []byte) (int, error) {
	if e.left == 0 {
		var more [1]byte
		n, err := e.r.Read(more[:])
		if n > 0 {
			return 0, fmt.Errorf("%w: more code than it announced", compilejob.ErrNonsense)
		}
		return 0, err
	}
	n, err := e.r.Read(b[:min(int64(len(b)), e.left)])
	e.left -= int64(n)
	if errors.Is(err, io.EOF) && e.left > 0 {
		err = errEnded
	}
	return n, err
}
