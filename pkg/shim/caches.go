package shim

import (
	"os/exec"
	"sync"
	"time"

	"github.com/containerd/log"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/setup"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/options"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/reaper"
)

// caches are the code caches of the shim: one for all containers with the same
// options about it.
type caches struct {
	start func(*exec.Cmd) (<-chan reaper.Exit, error)
	log   *log.Entry

	mu    sync.Mutex
	known map[cacheOptions]*codecache.Cache
}

// cacheOptions are those that make a difference.
type cacheOptions struct {
	dir      string
	size     int64
	none     bool
	memory   int64
	timeout  time.Duration
	parallel uint32
}

func (c *caches) of(o options.Options) *codecache.Cache {
	key := cacheOptions{o.CacheDir, o.CacheSize, o.NoCache, o.CompileMemory, o.CompileTimeout, o.CompileParallel}
	c.mu.Lock()
	defer c.mu.Unlock()
	cache, ok := c.known[key]
	if !ok {
		cache = setup.New(o, c.start, c.log)
		c.known[key] = cache
	}
	return cache
}
