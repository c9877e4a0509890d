package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/compile"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/entry"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/setup"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/containerdapi"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/options"
)

const precompileHelp = `Compile modules before a container needs them, so that its first start is as fast
as every other one.

  ` + program + ` precompile [FLAGS] FILE|IMAGE…

FILE is a module: an argument that begins with / or ./, or the name of a file that
is there. Everything else is an IMAGE of containerd, by its name as ctr shows it or
in Docker's short form; all modules in its layers are compiled, those for other
platforms and those that an upper layer hides excepted.

  ` + program + ` precompile ./app.wasm
  ` + program + ` precompile --namespace k8s.io registry.example.com/app:1.2

A line tells how it went with each module: hit (it was in the cache), compiled,
waited (for somebody else to compile it), repaired (what was in the cache was
damaged). If something failed the others are done all the same, and the exit status
is 1.

  --address SOCKET   containerd's socket (` + containerdapi.DefaultAddress + `, or
                     $CONTAINERD_ADDRESS)
  --namespace NS     containerd's namespace (default, or $CONTAINERD_NAMESPACE);
                     Kubernetes has k8s.io, Docker moby
  -j N               modules at once (as many as compilers may run on this node:
                     the option compile_parallel)
` + commonHelp

// precompiler carries the command out.
type precompiler struct {
	common
	address, namespace string
	parallel           int

	containerd *containerdapi.Client
	cache      *codecache.Cache
	out        *progress
}

func (c *precompiler) flags(p Process) *flag.FlagSet {
	set := c.common.flags()
	or := func(variable, otherwise string) string {
		if v := p.Getenv(variable); v != "" {
			return v
		}
		return otherwise
	}
	set.StringVar(&c.address, "address", or("CONTAINERD_ADDRESS", containerdapi.DefaultAddress), "")
	set.StringVar(&c.address, "a", c.address, "")
	set.StringVar(&c.namespace, "namespace", or("CONTAINERD_NAMESPACE", "default"), "")
	set.StringVar(&c.namespace, "n", c.namespace, "")
	set.IntVar(&c.parallel, "j", 0, "")
	return set
}

func precompile(ctx context.Context, p Process, args []string) error {
	var c precompiler
	what, err := parse(c.flags(p), args)
	if err != nil {
		return err
	}
	if len(what) == 0 {
		return &usageError{errors.New("say what to compile: a FILE or an IMAGE is missing")}
	}
	if c.parallel < 0 {
		return &usageError{fmt.Errorf("-j %d is no number of modules", c.parallel)}
	}
	o, err := c.options()
	if err != nil {
		return err
	}
	if err := possible(o); err != nil {
		return err
	}
	compiler := newCompiler(ctx, p, o)
	defer compiler.wait()
	c.containerd = containerdapi.New(strings.TrimPrefix(c.address, "unix://"), c.namespace)
	c.cache = setup.With(o, compiler.compile, logger(p))
	if c.parallel == 0 {
		c.parallel = slots(o)
	}
	c.out = newProgress(p, c.json)
	c.run(ctx, what)
	return c.out.end(ctx)
}

// possible refuses what could not have an effect.
func possible(o options.Options) error {
	if o.NoCache {
		return errors.New("the option no_cache is set: there is no cache to fill")
	}
	if !entry.Supported() {
		return fmt.Errorf("this machine has no compiler, it interprets modules (%s): there is nothing to compile", runtime.GOARCH)
	}
	return nil
}

// slots is how many compilers may run on this node at once.
func slots(o options.Options) int {
	if o.CompileParallel > 0 {
		return int(o.CompileParallel)
	}
	return compile.DefaultParallel()
}

// run compiles everything; c.out knows what has failed.
func (c *precompiler) run(ctx context.Context, what []string) {
	work := make(chan *item)
	var workers sync.WaitGroup
	for range c.parallel {
		workers.Go(func() {
			for i := range work {
				c.compile(ctx, i)
			}
		})
	}
	// One module is read ahead while others are compiled.
	send := func(i *item) error {
		select {
		case work <- i:
			return nil
		case <-ctx.Done():
			i.file.Close()
			return ctx.Err()
		}
	}
	for _, name := range what {
		if ctx.Err() != nil {
			break
		}
		c.find(ctx, name, send)
	}
	close(work)
	workers.Wait()
}

// find sends the modules of an argument.
func (c *precompiler) find(ctx context.Context, name string, send func(*item) error) {
	var err error
	if isFile(name) {
		err = findFile(name, send)
	} else {
		err = c.findModules(ctx, name, send)
	}
	if err != nil && ctx.Err() == nil {
		c.out.failed(result{Source: name, err: err})
	}
}

// isFile tells whether an argument is meant as a file.
func isFile(name string) bool {
	if filepath.IsAbs(name) || strings.HasPrefix(name, "./") || strings.HasPrefix(name, "../") {
		return true
	}
	info, err := os.Stat(name)
	return err == nil && !info.IsDir()
}

// compile fills the cache with one module.
func (c *precompiler) compile(ctx context.Context, i *item) {
	defer i.file.Close()
	r := result{Source: i.source, Name: i.name, Size: i.size}
	finished := c.out.begin(i)
	begin := time.Now()
	code, err := c.cache.Get(ctx, codecache.Module{File: i.file, Name: show(i.title()), Digest: i.digest})
	r.took = time.Since(begin)
	finished()
	if err != nil {
		if ctx.Err() == nil {
			r.err = err
			c.out.failed(r)
		}
		return
	}
	defer code.Close()
	r.Digest, r.Outcome, r.CodeSize = code.Digest.String(), string(code.Outcome), code.Size
	if code.Outcome == codecache.Bypassed {
		r.err = errors.New("it was compiled, but the cache could not take it")
		c.out.failed(r)
		return
	}
	c.out.done(r)
}
