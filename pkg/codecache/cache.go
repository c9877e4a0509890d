// Package codecache keeps the compiled code of modules on this node, so that a
// module is compiled once, however many containers and shims want it.
//
// Everything is in one directory that only root can enter:
//
//	entries/<key>       compiled code: see package entry; the key is derived from
//	                    the module's digest and from what else the code depends on
//	entries/tmp-<x>     an entry that is being written, or one on its way out
//	locks/<key>         who holds its lock compiles; it is there for that long
//	digests/<identity>  a symbolic link whose target is the digest of a file
//
// Nothing in it comes from an image: a compiler without privileges reads the
// module, and what it hands over is checked before it is stored or used. Nothing
// in it is trusted for being there: an entry is verified in full, whatever else
// is in its place is replaced. Without a directory that can be used the cache
// still compiles, and says so in the log.
package codecache

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/containerd/log"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/entry"
)

const (
	// DefaultDir is Config.Dir's default.
	DefaultDir = "/var/lib/containerd-shim-wazero-v1/cache"
	// DefaultMaxSize is Config.MaxSize's default, in bytes.
	DefaultMaxSize = 2 << 30
)

// Config is how a node keeps compiled code.
type Config struct {
	// Dir is created if it is missing; empty means DefaultDir.
	Dir string
	// Disabled makes every Get compile and store nothing.
	Disabled bool
	// MaxSize bounds the sum of the sizes of all entries, in bytes; 0 means
	// DefaultMaxSize. It may be exceeded by entries that are in use, and for a
	// moment by the one that is being written.
	MaxSize int64
	// Compile is needed for Get and Replace only.
	Compile Compiler
	// Log gets a line for each reason to run without cache; nil for none.
	Log *log.Entry
}

// Compiler compiles the module m, whose sha256 is d, and returns a memfd, sealed
// against every change, that holds a complete entry. The cache closes it.
//
// A *Refused error, or one that wraps ErrLimit, is given to all who wait for this
// module. After any other, which may be an accident, the next of them tries.
//
// ctx is never cancelled: others may wait for the result. A Compiler bounds its
// own time. It must not rely on the offset of m.File nor move it.
type Compiler func(ctx context.Context, m Module, d entry.Digest) (*os.File, error)

// Module is a Wasm file.
type Module struct {
	// File is open for reading and stays the caller's. Its offset is not used.
	File *os.File
	// Name is used in messages: the path in the container.
	Name string
	// Digest is set if it is known already, because File is a blob of a content
	// store. Then the file is not hashed.
	Digest *entry.Digest
}

// Outcome tells where code came from.
type Outcome string

// The outcomes of Get and Replace.
const (
	Hit      Outcome = "hit"      // it was in the cache
	Compiled Outcome = "compiled" // it was not: this call compiled it
	Waited   Outcome = "waited"   // it was not: somebody else compiled it meanwhile
	Bypassed Outcome = "bypassed" // it was compiled and could not be stored
	Repaired Outcome = "repaired" // what was in the cache could not be used and has been replaced
)

// Cache is safe for concurrent use.
type Cache struct {
	config     Config
	settleTime time.Duration // see the constant

	mu      sync.Mutex
	flights map[entry.Digest]*flight // by key
	stored  map[entry.Digest]*code   // by key: entries in use by this process
	warned  map[string]bool
}

// New returns a cache. It touches no file.
func New(c Config) *Cache {
	if c.Dir == "" {
		c.Dir = DefaultDir
	}
	if c.MaxSize == 0 {
		c.MaxSize = DefaultMaxSize
	}
	return &Cache{
		config: c, settleTime: settleTime, flights: map[entry.Digest]*flight{}, stored: map[entry.Digest]*code{}, warned: map[string]bool{},
	}
}

// keyOf names the entry of a module for an engine.
func keyOf(module entry.Digest, engine entry.Engine) entry.Digest {
	return sha256.Sum256(fmt.Appendf(nil, "wazero code cache\x00%d\x00%s\x00%s", entry.Format, engine, module))
}

// mostWarnings bounds the memory of what has been logged.
const mostWarnings = 100

// warn logs a reason to run without cache, once.
func (c *Cache) warn(reason error) {
	c.mu.Lock()
	seen := c.warned[reason.Error()] || len(c.warned) >= mostWarnings
	c.warned[reason.Error()] = true
	c.mu.Unlock()
	if !seen && c.config.Log != nil {
		c.config.Log.WithError(reason).Warn("running without the code cache: modules are compiled at every start")
	}
}

// Code is compiled code in use. Close gives up the use.
type Code struct {
	// File is a complete and verified entry, open for reading: whoever holds the
	// descriptor cannot write to it, nor open it again for writing. Its offset
	// is meaningless.
	File *os.File
	// Outcome tells where it came from.
	Outcome Outcome
	// Digest and ModuleSize (in bytes) are those of the module.
	Digest     entry.Digest
	ModuleSize int64
	// Size of the entry in bytes.
	Size int64
	// Lookup is the time that hashing, looking up, verifying and storing took;
	// Wait the one for others who compiled; Compile the one for our compiler.
	Lookup, Wait, Compile time.Duration

	cache *Cache
	code  *code
	once  sync.Once
}

// Close gives up the use: the entry may be evicted from then on. Processes that
// got File or mapped it keep what they have.
func (c *Code) Close() error {
	var err error
	c.once.Do(func() {
		err = c.File.Close()
		c.cache.release(c.code)
	})
	return err
}
