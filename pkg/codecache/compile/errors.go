package compile

import (
	"errors"
	"fmt"
	"sync"

	"github.com/containerd/log"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache"
)

// What the errors of Compile wrap, unless the module was refused.
var (
	// ErrUnsupported: no code can be generated for any module on this machine.
	ErrUnsupported = errors.New("compiling is not possible on this machine")
	// ErrUnavailable: no compiler can be started, or be made harmless, on this
	// node. A module may still be compiled in its container.
	ErrUnavailable = errors.New("no compiler can be started")
	// ErrLimit: the compiler reached one of its bounds, which the text names
	// together with the option that moves it.
	ErrLimit = codecache.ErrLimit
	// ErrBroken: the compiler ended, or sent what cannot be, for no reason that
	// lies in the module as far as is known. Another attempt may succeed.
	ErrBroken = errors.New("the compiler failed")
)

// failed is an error whose text is a sentence for the user.
type failed struct {
	kind error
	text string
}

func failure(kind error, format string, args ...any) error {
	return &failed{kind, fmt.Sprintf(format, args...)}
}

func (f *failed) Error() string { return f.text }
func (f *failed) Unwrap() error { return f.kind }

// once logs what does not change from one module to the next only once.
type once struct {
	log  *log.Entry
	mu   sync.Mutex
	said map[string]bool
}

func (o *once) warn(about string, reason error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.log == nil || o.said[about] {
		return
	}
	if o.said == nil {
		o.said = map[string]bool{}
	}
	o.said[about] = true
	o.log.WithError(reason).Warn(about)
}
