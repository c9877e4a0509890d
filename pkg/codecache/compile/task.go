package compile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/containerd/log"
	"github.com/docker/go-units"
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/entry"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/compilejob"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/reaper"
)

// task is the compilation of one module.
type task struct {
	*Compiler
	module  codecache.Module
	header  entry.Header
	slot    int
	workers int
	// cpuSeconds bounds the CPU time of all threads together. It is reached only if
	// the shim does not look after the time.
	cpuSeconds uint64
}

// exitPatience is how long a compiler may live after its last byte.
const exitPatience = 5 * time.Second

func (t *task) run(ctx context.Context) (*os.File, error) {
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, t.config.Timeout)
	defer cancel()
	p, err := t.start()
	if err != nil {
		return nil, failure(ErrUnavailable, "no compiler can be started for module %q: %v", t.module.Name, err)
	}
	defer func() {
		if err := p.close(); err != nil {
			t.warned.warn("something is left of a compiler", err)
		}
	}()
	if err := p.enterCgroup(t.cgroup, t.config.Memory); err != nil {
		t.warned.warn("compilers have no cgroup of their own: resource limits bound their memory, less exactly", err)
	}
	stop := context.AfterFunc(ctx, p.kill)
	defer stop()
	result, file, err := t.converse(p)
	if err != nil {
		closeFile(file)
		return nil, t.explain(ctx, p, err)
	}
	t.logResult(p, result, time.Since(begin))
	return file, t.refusal(result)
}

// converse says what to do and takes the result. The compiler has ended well if
// there is no error.
func (t *task) converse(p *process) (compilejob.Result, *os.File, error) {
	if err := p.send(t.job(p)); err != nil {
		return compilejob.Result{}, nil, err
	}
	result, file, err := t.receive(p.result)
	if err != nil {
		return result, file, err
	}
	exit := p.await(exitPatience)
	switch {
	case exit == nil:
		err = fmt.Errorf("%w: nothing, but it goes on", compilejob.ErrNonsense)
	case exit.Status != 0:
		err = errEnded
	}
	return result, file, err
}

func (t *task) job(p *process) *compilejob.Job {
	return &compilejob.Job{
		Module: t.module.Name, Workers: t.workers, Memory: t.config.Memory,
		InCgroup: p.group != nil, CPUSeconds: t.cpuSeconds, User: p.becomes,
	}
}

// logResult is for those who look for the cause of a slow start.
func (t *task) logResult(p *process, r compilejob.Result, took time.Duration) {
	if t.config.Log == nil {
		return
	}
	t.config.Log.WithFields(log.Fields{
		"module": t.module.Name, "digest": t.header.Module.String(), "result": r.Kind, "took": took.Round(time.Millisecond),
		"peak": p.peakMemory(), "workers": t.workers, "said": p.said.String(),
	}).Debug("a compiler has ended")
}

// refusal is the error of a result that is not code.
func (t *task) refusal(r compilejob.Result) error {
	switch r.Kind {
	case compilejob.Refused:
		return &codecache.Refused{Reason: r.Message}
	case compilejob.Unsupported:
		return failure(ErrUnsupported, "%s", r.Message)
	case compilejob.OutOfMemory:
		return t.outOfMemory()
	case compilejob.Failed:
		return failure(ErrUnavailable, "the compiler for module %q cannot work on this node: %s", t.module.Name, r.Message)
	default:
		return nil
	}
}

// explain finds the reason why there is no result. err is how it was noticed.
func (t *task) explain(ctx context.Context, p *process, err error) error {
	if errors.Is(err, errEnded) {
		p.await(exitPatience)
	}
	name := t.module.Name
	switch cause := ctx.Err(); {
	case errors.Is(cause, context.DeadlineExceeded):
		return failure(ErrLimit, "compiling module %q takes longer than %s: raise compile_timeout", name, t.config.Timeout)
	case cause != nil:
		return fmt.Errorf("compile module %q: %w", name, cause)
	case p.outOfMemory():
		return t.outOfMemory()
	case errors.Is(err, errEnded) && p.exit != nil:
		return failure(ErrBroken, "the compiler of module %q %s%s", name, describe(p.exit), p.said.excerpt())
	case errors.Is(err, errEnded), errors.Is(err, compilejob.ErrNonsense):
		return failure(ErrBroken, "the compiler of module %q is broken: %v", name, err)
	default: // it is ours
		return fmt.Errorf("compile module %q: %w", name, err)
	}
}

func (t *task) outOfMemory() error {
	return failure(ErrLimit, "compiling module %q takes more than %s of memory: raise compile_memory", t.module.Name, units.BytesSize(float64(t.config.Memory)))
}

// describe completes a sentence about a process that ended too early.
func describe(e *reaper.Exit) string {
	switch {
	case e.Signal == unix.SIGSYS:
		return "was ended because it made a system call that no compiler makes"
	case e.Signal != 0:
		return fmt.Sprintf("was ended by signal %d (%s)", int(e.Signal), unix.SignalName(e.Signal))
	default:
		return fmt.Sprintf("ended with status %d before it had handed over the code", e.Status)
	}
}
