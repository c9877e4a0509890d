package cli

import (
	"context"
	"os"
	"sync"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/compile"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/entry"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/setup"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/options"
)

// compiler is one whose processes end with the command: the cache itself lets
// them go on, since in a shim others may wait for the result.
type compiler struct {
	*compile.Compiler
	ctx     context.Context
	running sync.WaitGroup
}

func newCompiler(ctx context.Context, p Process, o options.Options) *compiler {
	return &compiler{ctx: ctx, Compiler: setup.Compiler(o, nil, logger(p))}
}

func (c *compiler) compile(ctx context.Context, m codecache.Module, d entry.Digest) (*os.File, error) {
	c.running.Add(1)
	defer c.running.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	return c.Compile(ctx, m, d)
}

// wait waits until nothing is left of compilers that were interrupted.
func (c *compiler) wait() { c.running.Wait() }
