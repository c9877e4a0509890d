package launcher

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
)

// CodeSource is where a launcher gets the machine code for a module from, in the
// form of an entry of the cache, open for reading. The files stay the source's,
// and open until the launcher is done. A nil file means that there is no code and
// the runner has to compile by itself.
type CodeSource interface {
	// Code returns the code, which may take as long as compiling does. The error
	// is a sentence for the user about a module that cannot be compiled.
	Code(ctx context.Context) (*os.File, error)
	// Replace is called, at most once, if the runner could not use the code, and
	// returns other code.
	Replace(ctx context.Context, reason string) (*os.File, error)
}

// Loaded is what a runner says about loading its module. It may lie.
type Loaded struct {
	// Code is where the machine code is from.
	Code job.CodeUse
	// Time is how long it took from the arrival of the code.
	Time time.Duration
	// Stale are the reasons why code that was sent before has not been used.
	Stale []string
}

// Loaded returns what is known after Run.
func (h *Handoff) Loaded() Loaded { return h.loaded }

// Provide waits for the code of the module and sends it to the runner, which need
// not have been started yet. A nil source has no code. A launcher calls it once,
// while it creates the process or right afterwards; the error is that of the
// source, and the process can only be ended after it. It does not wait longer
// than the runner lives: then the error is what IsRunnerGone knows.
func (h *Handoff) Provide(ctx context.Context, source CodeSource) error {
	var code *os.File
	if source != nil {
		err := h.whileAlive(ctx, func(ctx context.Context) (err error) {
			code, err = source.Code(ctx)
			return err
		})
		if err != nil {
			return err
		}
	}
	if code == nil {
		return h.send(job.NoCode, nil)
	}
	h.source = source
	return h.send(job.Code, code)
}

// ProvideMeanwhile is Provide while the launcher is at work on something else. The
// returned function waits for the result, or gives up if that work has failed. A
// nil Handoff, of a native program, needs no code.
func (h *Handoff) ProvideMeanwhile(ctx context.Context, source CodeSource) func(failed bool) error {
	if h == nil {
		return func(bool) error { return nil }
	}
	ctx, cancel := context.WithCancel(ctx)
	result := make(chan error, 1)
	go func() { result <- h.Provide(ctx, source) }()
	return func(failed bool) error {
		defer cancel()
		if failed {
			cancel()
		}
		return <-result
	}
}

// replace answers a runner that has found its code stale.
func (h *Handoff) replace(ctx context.Context, reason string) error {
	if h.sent != job.Code {
		return fmt.Errorf("%w: that the code is stale which it has not got", job.ErrNonsense)
	}
	h.loaded.Stale = append(h.loaded.Stale, reason)
	if len(h.loaded.Stale) > 1 {
		return h.send(job.NoCode, h.module)
	}
	var code *os.File
	err := h.whileAlive(ctx, func(ctx context.Context) (err error) {
		code, err = h.source.Replace(ctx, reason)
		return err
	})
	if err != nil {
		return err
	}
	if code == nil {
		return h.send(job.NoCode, h.module)
	}
	return h.send(job.Code, code)
}

// whileAlive ends the context of do when the runner is gone: a compiler may take
// minutes.
func (h *Handoff) whileAlive(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-h.ended:
			cancel(errRunnerGone)
		case <-ctx.Done():
		}
	}()
	err := do(ctx)
	if err != nil && errors.Is(context.Cause(ctx), errRunnerGone) {
		return errRunnerGone
	}
	return err
}

// send is no error if the runner is gone: it may have said why, and Run tells.
func (h *Handoff) send(o job.Order, file *os.File) error {
	h.sent = o
	err := h.control.Send(o, file)
	if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
		return nil
	}
	return err
}

func (h *Handoff) closeModule() {
	if h.module != nil {
		h.module.Close()
	}
}
