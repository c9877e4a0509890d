package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/engine/linmem"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/runner/gateway"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi/preview1"
)

// instance is a guest for one request. It shares with others what never changes: code,
// and the image of its memory.
type instance struct {
	program *program
	memory  *linmem.Allocator
	system  *preview1.System
	module  api.Module // nil if it has yet to be made
	stdin   *os.File
	stdout  *os.File
}

var _ gateway.Instance = (*instance)(nil)

// Stdin implements gateway.Instance.
func (i *instance) Stdin() *os.File { return i.stdin }

// Stdout implements gateway.Instance.
func (i *instance) Stdout() *os.File { return i.stdout }

// Discard implements gateway.Instance.
func (i *instance) Discard() {
	if i.module != nil {
		_ = i.module.Close(context.Background())
	}
	if i.system != nil {
		i.system.Close()
	}
	if i.memory != nil {
		i.memory.Release()
	}
}

func (i *instance) closeOurs() {
	for _, f := range []*os.File{i.stdin, i.stdout} {
		if f != nil {
			f.Close()
		}
	}
}

func (i *instance) world() context.Context {
	return world(context.Background(), i.memory, i.system)
}

func (i *instance) instantiate() (err error) {
	i.module, err = i.program.guest.instantiate(i.world())
	return err
}

// Run implements gateway.Instance.
func (i *instance) Run(env []string) (status int, err error) {
	defer i.Discard()
	defer func() {
		if fault := recover(); fault != nil {
			reportFault(os.Stderr, fault, debug.Stack())
			err = errors.New("of a fault of containerd-shim-wazero")
		}
	}()
	if err := i.system.SetEnviron(env); err != nil {
		return 0, err
	}
	return i.end(i.call())
}

func (i *instance) call() error {
	g := i.program.guest
	if err := escape(g.job); err != nil {
		return err
	}
	if i.module == nil {
		if err := i.instantiate(); err != nil {
			return err
		}
	}
	return g.start(i.world(), i.module)
}

// end tells how it has ended.
func (i *instance) end(err error) (int, error) {
	if err == nil {
		return 0, nil
	}
	var exit *sys.ExitError
	isExit := errors.As(err, &exit)
	if isExit && exit.ExitCode() == 0 {
		return 0, nil
	}
	if i.memory.Refused() {
		return 0, errors.New("it was refused memory at the container's limit")
	}
	if isExit {
		return int(exit.ExitCode() & 0xff), nil
	}
	var raised *preview1.Raised
	if errors.As(err, &raised) {
		return 0, fmt.Errorf("it raised %s", unix.SignalName(raised.Signal))
	}
	var fault runtime.Error
	if errors.As(err, &fault) {
		reportFault(os.Stderr, err, nil)
		return 0, errors.New("of a fault of containerd-shim-wazero")
	}
	fmt.Fprintf(os.Stderr, "module %q trapped: %v\n", i.program.guest.job.Module, err)
	reason, _, _ := strings.Cut(err.Error(), "\n")
	return 0, fmt.Errorf("it trapped: %s", reason)
}
