// Package compiler is the process that turns one module into machine code. It has
// no privileges and nothing that it could harm: whatever a hostile module makes
// of the decoder or the code generator is left in an empty root, without network,
// files or other processes, and can only spoil what it hands over for this one
// module. Package compilejob is how it talks to the shim.
package compiler

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/compilejob"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/compiler/cage"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/engine"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/title"
)

const (
	statusOK = 0
	// statusCannotRun is what shells use for a file that cannot be executed.
	statusCannotRun = 126
	// statusGone is for a shim that ended first; nobody sees it.
	statusGone = 1
)

// Main compiles what the inherited descriptors describe (see package compilejob)
// and returns the exit status of the process. It must be called first thing in
// main, in a process that package compilejob's role made a compiler.
func Main() int {
	os.Clearenv()
	title.HideFirstArgument() // ps shows the module, too
	c, err := cage.Enter()
	switch {
	case c.Result == nil:
		fmt.Fprintf(os.Stderr, "this is a part of the shim that only the shim can start: %v\n", err)
		return statusCannotRun
	case errors.Is(err, cage.ErrShimGone):
		return statusGone
	case err != nil:
		return answer(c, compilejob.Result{Kind: compilejob.Failed, Message: err.Error()})
	}
	return guarded(c, func() int { return compile(c) })
}

// guarded turns a panic of work into a result. Nothing of the module runs here:
// what panics is wazero's compiler.
func guarded(c *cage.Cage, work func() int) (status int) {
	defer func() {
		fault := recover()
		if fault == nil {
			return
		}
		if err, ok := fault.(error); ok && errors.Is(err, unix.ENOMEM) {
			status = answer(c, explain(err))
			return
		}
		fmt.Fprintf(os.Stderr, "%v\n%s", fault, debug.Stack())
		message := fmt.Sprintf("module %q cannot be compiled: the compiler has a fault: %v", c.Job.Module, fault)
		status = answer(c, compilejob.Result{Kind: compilejob.Refused, Message: message})
	}()
	return work()
}

// compile reads the module, compiles it and hands over what came of it.
func compile(c *cage.Cage) int {
	name := c.Job.Module
	data, err := engine.ReadFile(c.Module, name)
	if err != nil {
		return answer(c, explain(err))
	}
	code, err := engine.Compile(context.Background(), data, name, c.Job.Workers)
	if err != nil {
		return answer(c, explain(err))
	}
	return answer(c, compilejob.Result{
		Kind: compilejob.Compiled, Key: code.Key,
		Prefix: int64(len(code.Prefix)), Code: int64(len(code.Code)), Suffix: int64(len(code.Suffix)),
	}, code.Prefix, code.Code, code.Suffix)
}

// explain sorts the errors of package engine.
func explain(err error) compilejob.Result {
	kind := compilejob.Refused
	switch {
	case errors.Is(err, engine.ErrUnsupported):
		kind = compilejob.Unsupported
	case errors.Is(err, unix.ENOMEM):
		kind = compilejob.OutOfMemory
	case errors.Is(err, engine.ErrInternals):
		kind = compilejob.Failed
	}
	return compilejob.Result{Kind: kind, Message: err.Error()}
}

func answer(c *cage.Cage, r compilejob.Result, parts ...[]byte) int {
	if err := compilejob.Write(c.Result, r, parts...); err != nil {
		return statusGone
	}
	return statusOK
}
