package task

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/compile"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/entry"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/launcher"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/oci"
)

// code is the machine code of one process's module. It is looked up, or
// compiled, while the container is being made, and is in use until close.
type code struct {
	cache  *codecache.Cache
	module codecache.Module
	log    *log.Entry

	// patience ends the wait for the code, but not a compiler at work: the next
	// container of the module will find its result.
	patience context.Context
	ready    chan struct{} // closed when the first lookup has ended

	mu     sync.Mutex
	got    *codecache.Code // nil if there is none, or not yet
	err    error
	closed bool

	closing sync.Once // of module.File
}

var _ launcher.CodeSource = (*code)(nil)

// beginCode begins to provide the code of p's module, if its plan has one. The
// source is nil for a native program. The wait for a compiler ends with ctx.
func (s *Service) beginCode(ctx context.Context, p *process, plan *oci.Plan) (launcher.CodeSource, error) {
	if plan.Kind != oci.Wasm {
		return nil, nil
	}
	if err := restrict(plan.Job, p.container.options); err != nil {
		return nil, err
	}
	fd, err := unix.FcntlInt(plan.Module.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("dup", err)
	}
	k := &code{
		cache:    s.Cache(p.container.options),
		module:   codecache.Module{File: os.NewFile(uintptr(fd), plan.Module.Name()), Name: plan.Job.Module},
		log:      s.logger(p.container.id),
		patience: ctx, ready: make(chan struct{}),
	}
	if plan.Digest != nil {
		digest := entry.Digest(*plan.Digest)
		k.module.Digest = &digest
	}
	if p.execID != "" {
		k.log = k.log.WithField("exec", p.execID)
	}
	p.mu.Lock()
	p.code = k
	p.mu.Unlock()
	go func() {
		defer close(k.ready)
		k.take(k.cache.Get(ctx, k.module))
	}()
	return k, nil
}

// take stores the result of a lookup.
func (k *code) take(got *codecache.Code, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if got != nil && k.closed {
		got.Close()
		return
	}
	k.got, k.err = got, err
}

// Code implements launcher.CodeSource. The file is nil if no compiler can be had
// here at all: then the runner compiles for itself, within the container's limits.
func (k *code) Code(ctx context.Context) (*os.File, error) {
	select {
	case <-k.ready:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-k.patience.Done():
		return nil, fmt.Errorf("module %q is still being compiled; try again when that is done: %w", k.module.Name, k.patience.Err())
	}
	return k.file()
}

// Replace implements launcher.CodeSource.
func (k *code) Replace(ctx context.Context, reason string) (*os.File, error) {
	k.mu.Lock()
	stale := k.got
	k.mu.Unlock()
	if stale == nil {
		return nil, nil
	}
	k.log.WithField("reason", reason).Warn("the compiled code does not fit the module: looking it up again")
	k.take(k.cache.Replace(ctx, k.module, stale))
	stale.Close()
	return k.file()
}

func (k *code) file() (*os.File, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var refused *codecache.Refused
	switch {
	case errors.Is(k.err, compile.ErrUnavailable), errors.Is(k.err, compile.ErrUnsupported):
		k.log.WithError(k.err).Warn("the runner compiles the module by itself, inside the container")
		return nil, nil
	case errors.As(k.err, &refused):
		return nil, fmt.Errorf("%w: %w", k.err, errdefs.ErrInvalidArgument)
	case k.err != nil:
		return nil, k.err
	case k.got == nil:
		return nil, errors.New("the container is being deleted")
	}
	return k.got.File, nil
}

// started logs how the code came about.
func (k *code) started(loaded launcher.Loaded) {
	k.mu.Lock()
	defer k.mu.Unlock()
	fields := log.Fields{"module": k.module.Name, "load": loaded.Time, "code": loaded.Code, "outcome": codecache.Bypassed}
	if k.got != nil {
		fields["digest"] = k.got.Digest.String()[:12]
		fields["outcome"] = k.got.Outcome
		for name, d := range map[string]time.Duration{"lookup": k.got.Lookup, "wait": k.got.Wait, "compile": k.got.Compile} {
			if d > 0 {
				fields[name] = d.Round(time.Microsecond)
			}
		}
	}
	k.log.WithFields(fields).Info("module started")
	// Nobody needs the module any more, which may be in memory.
	k.closeModule()
}

func (k *code) closeModule() { k.closing.Do(func() { k.module.File.Close() }) }

// close gives up the use of the code; a lookup may go on for others.
func (k *code) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return
	}
	k.closed = true
	if k.got != nil {
		k.got.Close()
		k.got = nil
	}
	go func() {
		<-k.ready // the lookup reads the file
		k.closeModule()
	}()
}
