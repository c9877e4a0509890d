// Package setup makes the code cache that runtime options describe, together with
// its compiler, for the shim and for the commands of the binary alike.
package setup

import (
	"os"
	"os/exec"
	"path/filepath"

	"github.com/containerd/log"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/compile"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/options"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/reaper"
)

// DirEnv is the environment variable with the default of the option cache_dir:
// containerd passes its environment on to the shim.
const DirEnv = "WAZERO_SHIM_CACHE_DIR"

// Dir is the cache's directory: that of the options, of the environment, or the
// default.
func Dir(o options.Options) string {
	switch env := os.Getenv(DirEnv); {
	case o.CacheDir != "":
		return o.CacheDir
	case env != "":
		return env
	default:
		return codecache.DefaultDir
	}
}

// New returns the cache of o. start is compile.Config.Start; logger may be nil.
func New(o options.Options, start func(*exec.Cmd) (<-chan reaper.Exit, error), logger *log.Entry) *codecache.Cache {
	return With(o, Compiler(o, start, logger).Compile, logger)
}

// Compiler is the one that New uses.
func Compiler(o options.Options, start func(*exec.Cmd) (<-chan reaper.Exit, error), logger *log.Entry) *compile.Compiler {
	c := compile.Config{
		Memory: o.CompileMemory, Timeout: o.CompileTimeout, Parallel: int(o.CompileParallel),
		Start: start, Log: logger,
	}
	if !o.NoCache {
		c.Slots = filepath.Join(Dir(o), "slots")
	}
	return compile.New(c)
}

// With returns the cache of o with another compiler; nil if nothing is compiled.
func With(o options.Options, compiler codecache.Compiler, logger *log.Entry) *codecache.Cache {
	return codecache.New(codecache.Config{
		Dir: Dir(o), Disabled: o.NoCache, MaxSize: o.CacheSize, Compile: compiler, Log: logger,
	})
}
