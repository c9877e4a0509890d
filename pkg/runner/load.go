package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/engine"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/engine/wasmbin"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/room"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi"
)

// loader makes a module ready to run without running any of its code. The start
// section, which is code, runs with instantiation.
type loader struct {
	job     *job.Job
	control *orders
	guest   *guest
	// file is the module; nil once it has been closed.
	file *os.File
	// canCompile tells whether code can be executed here at all.
	canCompile bool
	// module and runtime are for code from the cache; nil if they are not there, see
	// prepare.
	module  *engine.Module
	runtime *engine.Runtime
	// outline of the module and use of memory are known when it is loaded.
	outline *wasmbin.Module
	usage   usage
}

// loadGuest loads the module, with the code that the shim sends or without, and
// tells what to report.
func loadGuest(ctx context.Context, j *job.Job, control *orders, statm *statm) (*guest, job.Report, error) {
	l := &loader{job: j, control: control, guest: &guest{job: j}, canCompile: engine.CompilerWorks(), usage: usage{statm: statm}}
	if l.file = os.NewFile(job.FDModule, j.Module); l.file == nil {
		return nil, job.Report{}, errors.New("the shim passed no module")
	}
	defer l.closeFile()
	if l.canCompile {
		// While the shim looks for the code. An error comes again if there is some.
		_ = l.prepare(ctx)
	}
	var err error
	plain := j.Room != nil && !room.HasMagicLinks()
	if j.CGI != nil {
		l.guest.program = &program{guest: l.guest, plain: plain}
	} else if l.guest.system, err = wasi.New(j, plain); err != nil {
		return nil, job.Report{}, err
	}
	report, err := l.load(ctx)
	return l.guest, report, err
}

// prepare makes what it takes to use code from the cache, as far as it is not there.
func (l *loader) prepare(ctx context.Context) (err error) {
	if l.module == nil {
		if l.module, err = engine.ReadModule(l.file, l.job.Module); err != nil {
			return err
		}
	}
	if l.runtime == nil {
		l.runtime, err = engine.NewLoader(ctx)
	}
	return err
}

// load asks for code until there is some that can be used, or none.
func (l *loader) load(ctx context.Context) (ready job.Report, err error) {
	for {
		order, file, err := l.control.next()
		if err != nil {
			return ready, err
		}
		arrived := time.Now()
		if order == job.Code && l.canCompile {
			err = l.loadCode(ctx, file)
		} else {
			err = l.compile(ctx, order, file)
		}
		if reason, stale := staleness(err); stale {
			if err := l.control.Report(job.Report{Kind: job.Stale, Message: reason}); err != nil {
				return ready, err
			}
			continue
		}
		if err != nil {
			return ready, err
		}
		if err := l.budget(); err != nil {
			return ready, err
		}
		l.usage.statm.close()
		return job.Report{Kind: job.Ready, Code: l.guest.use, Load: float64(time.Since(arrived)) / float64(time.Millisecond)}, nil
	}
}

// budget bounds the guest's memory.
func (l *loader) budget() (err error) {
	if p := l.guest.program; p != nil {
		if l.guest.memory, err = budgetInstances(l.job.MemoryLimit, l.outline, l.usage); err != nil {
			return err
		}
		return p.prepare(l.outline, l.usage.image)
	}
	l.guest.memory, err = budgetMemory(l.job.MemoryLimit, l.outline, l.usage)
	return err
}

// staleness tells whether an error is one about the code, not about the module.
func staleness(err error) (reason string, stale bool) {
	var s *engine.StaleError
	switch {
	case errors.As(err, &s):
		return s.Reason, true
	case errors.Is(err, engine.ErrInternals): // no code can be used in this way
		return err.Error(), true
	default:
		return "", false
	}
}

// loadCode takes code from an entry of the cache, which it closes.
func (l *loader) loadCode(ctx context.Context, file *os.File) error {
	entry, err := engine.OpenEntry(file, l.job.PrivateCode)
	file.Close()
	if err != nil {
		return err
	}
	defer entry.Close()
	if err := l.prepare(ctx); err != nil {
		return err
	}
	if err := entry.Check(l.module); err != nil {
		// The file stays open, and may not be the one any more that it was.
		l.module.Free()
		l.module = nil
		return err
	}
	l.closeFile() // before anything of the module is looked at
	if l.outline, err = l.module.Outline(); err != nil {
		return err
	}
	l.guest.runtime, l.runtime = l.runtime, nil // another attempt takes another one
	if err := l.check(ctx); err != nil {
		return err
	}
	if l.guest.compiled, err = l.guest.runtime.Load(ctx, l.module, entry); err != nil {
		return err
	}
	l.guest.use, l.usage.image = job.CodeShared, l.module.Image()
	if !entry.Shared() {
		l.guest.use, l.usage.code = job.CodePrivate, entry.CodeSize()
	}
	return nil
}

// compile does without code from elsewhere. file is the module, or nil if the
// runner's own descriptor is to be used, or something that is of no use here.
func (l *loader) compile(ctx context.Context, order job.Order, file *os.File) error {
	switch {
	case order == job.Code:
		file.Close()
	case file != nil:
		l.closeFile()
		l.file = file
	}
	l.discard(ctx)
	data, err := engine.ReadFile(l.file, l.job.Module)
	l.closeFile()
	if err != nil {
		return err
	}
	// wazero keeps copies of what it needs.
	defer engine.Free(data)
	setCompileLimits(l.job.MemoryLimit)
	useCPUs(l.job.CPUs)
	newRuntime := engine.NewCompiler
	l.guest.use = job.CodeCompiled
	if !l.canCompile {
		warnInterpreter()
		newRuntime = engine.NewInterpreter
		l.guest.use = job.CodeNone
	}
	l.guest.runtime = newRuntime(ctx)
	if l.outline, err = engine.ParseOutline(data, l.job.Module); err != nil {
		return err
	}
	if err := l.check(ctx); err != nil {
		return err
	}
	l.usage.code = int64(l.outline.CodeSize) * codeExpansion
	l.guest.compiled, err = l.guest.runtime.CompileHere(ctx, data, l.job.Module, l.outline, workers(l.job.MemoryLimit))
	return err
}

// discard frees what has been prepared for code from the cache.
func (l *loader) discard(ctx context.Context) {
	if l.module != nil {
		l.module.Free()
		l.module = nil
	}
	if l.runtime != nil {
		l.runtime.Close(ctx)
		l.runtime = nil
	}
}

// check refuses what cannot run before time is spent on it.
func (l *loader) check(ctx context.Context) error {
	if err := l.guest.runtime.CheckImports(ctx, l.outline, l.job.Module); err != nil {
		return err
	}
	if err := checkExport(l.outline, l.job.Export); err != nil {
		return fmt.Errorf("module %q %w", l.job.Module, err)
	}
	l.guest.sockets = socketsOf(l.outline, l.job)
	l.guest.initialize = l.job.Export != startExport && callable(l.outline, initializeExport)
	return nil
}

func (l *loader) closeFile() {
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
}
