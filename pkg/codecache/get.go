package codecache

import (
	"context"
	"errors"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/entry"
)

// mostAttempts bounds what is done again because of others: a file that changes
// while it is read, a compiler of another caller that died.
const mostAttempts = 3

// Get returns the module's compiled code, from the cache or from the compiler.
// The error is what the compiler said, *Refused above all, or that the module cannot
// be read. Whatever is wrong with the cache itself is no error.
//
// The end of ctx ends the wait, but not the compiler: others may be waiting
// for it too, and the next Get will find its result.
func (c *Cache) Get(ctx context.Context, m Module) (*Code, error) {
	return c.get(ctx, m, nil)
}

// Replace is for a runner that found that stale is not the code of the module in
// its memory: the digest was remembered for a file that has been another one
// since, or the entry is a wrong one. The file is hashed anew, whatever was known
// about it, and an entry that is still stale's is replaced. stale stays the
// caller's to close.
func (c *Cache) Replace(ctx context.Context, m Module, stale *Code) (*Code, error) {
	digest, err := c.rehash(m)
	if err != nil {
		return nil, err
	}
	m.Digest = &digest
	return c.get(ctx, m, stale.code)
}

// get never returns the code rejected, if there is one.
func (c *Cache) get(ctx context.Context, m Module, rejected *code) (*Code, error) {
	for attempt := 1; ; attempt++ {
		code, again, err := c.attempt(ctx, m, rejected)
		if err == nil {
			return code, nil
		}
		if !again || attempt == mostAttempts || ctx.Err() != nil {
			return nil, err
		}
	}
}

// attempt joins those of this process who want the same code. again tells that
// an error may be the problem of others.
func (c *Cache) attempt(ctx context.Context, m Module, rejected *code) (_ *Code, again bool, err error) {
	begin := time.Now()
	r, err := c.newRequest(m, rejected)
	if err != nil {
		return nil, errors.Is(err, errChanged), err
	}
	hashed := time.Now()
	digest := r.digest
	f, led := c.join(r)
	result, err := f.wait(ctx)
	if err != nil {
		return nil, errors.Is(err, errChanged) || !led && !isForAll(err), err
	}
	if !led {
		result.followed(time.Since(hashed))
	}
	code, err := c.handOut(result, digest, rejected)
	if err != nil {
		c.release(result.code)
		return nil, errors.Is(err, errRejected), err
	}
	code.Lookup = time.Since(begin) - code.Wait - code.Compile
	return code, false, nil
}

// handOut takes over the reference to the code unless it fails.
func (c *Cache) handOut(r result, digest entry.Digest, rejected *code) (*Code, error) {
	if rejected != nil && sameInode(r.code.file, rejected.file) {
		return nil, errRejected // found by others, who had no reason to reject it
	}
	if rejected != nil && r.outcome != Bypassed {
		r.outcome = Repaired
	}
	f, err := r.code.open()
	if err != nil {
		return nil, err
	}
	return &Code{
		File: f, Outcome: r.outcome, Digest: digest, ModuleSize: r.code.header.ModuleSize, Size: r.code.header.Size(),
		Wait: r.wait, Compile: r.compile, cache: c, code: r.code,
	}, nil
}
