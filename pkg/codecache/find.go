package codecache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/entry"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/memfd"
)

var (
	// errAbandoned is the error of a flight that nobody waits for, so nobody
	// sees it.
	errAbandoned = errors.New("nobody waits for the code")
	// errRejected is that of an entry that a runner found to be a wrong one.
	errRejected = errors.New("the compiled code does not belong to the module")
)

// find looks for the entry, and compiles under its lock if there is none. The
// caller owns a reference to the code.
func (c *Cache) find(r *request, abandoned func() bool) (result, error) {
	if r.dir == nil {
		return c.bypass(r, result{})
	}
	found, err := c.lookup(r)
	if err == nil {
		return result{code: found, outcome: Hit}, nil
	}
	res := result{outcome: Compiled}
	for {
		begin := time.Now()
		lock, err := r.dir.lock(r.key)
		res.wait += time.Since(begin)
		switch {
		case errors.Is(err, errUnstored):
			return c.bypass(r, res)
		case isForAll(err):
			return res, err
		case err != nil:
			c.warn(err)
			return c.bypass(r, res)
		}
		// Whoever had the lock may have done the work.
		found, err := c.lookup(r)
		if err == nil {
			lock.release(nil)
			res.code, res.outcome = found, Waited
			return res, nil
		}
		if lock.lost {
			lock.release(nil)
			continue
		}
		if abandoned() {
			lock.release(nil)
			return res, errAbandoned
		}
		if !errors.Is(err, fs.ErrNotExist) {
			res.outcome = Repaired
		}
		res, err = c.compileAndStore(r, res)
		if res.outcome == Bypassed && err == nil {
			lock.release(errUnstored)
		} else {
			lock.release(err)
		}
		return res, err
	}
}

// compileAndStore is called with the lock of the key.
func (c *Cache) compileAndStore(r *request, res result) (result, error) {
	if res.outcome == Repaired {
		if err := r.dir.drop(r.key.String()); err != nil {
			c.warn(err)
			return c.bypass(r, res)
		}
	}
	compiled, err := c.compile(r, &res)
	if err != nil {
		return res, err
	}
	stored, err := r.dir.put(compiled, c.config.MaxSize)
	if err != nil {
		c.warn(err)
		res.code, res.outcome = compiled, Bypassed
		return res, nil
	}
	compiled.file.Close()
	r.dir.evict(c.config.MaxSize, r.key.String())
	res.code = c.use(r.dir, stored)
	return res, nil
}

func (c *Cache) bypass(r *request, res result) (result, error) {
	var err error
	res.outcome = Bypassed
	res.code, err = c.compile(r, &res)
	return res, err
}

// compile returns what the compiler made of the module, checked in full.
func (c *Cache) compile(r *request, res *result) (_ *code, err error) {
	begin := time.Now()
	f, err := c.config.Compile(context.Background(), r.module, r.digest)
	res.compile += time.Since(begin)
	// A file that changed may be refused for what it was in between.
	if err := r.id.check(r.module); err != nil {
		if f != nil {
			f.Close()
		}
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	h, err := checkCompiled(f, r)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("the compiler returned something else than the code of %s: %w", r.module.Name, err)
	}
	return &code{file: f, key: r.key, header: h, refs: 1}, nil
}

// checkCompiled trusts the compiler with nothing but the code of this module: a
// module may take over its compiler.
func checkCompiled(f *os.File, r *request) (*entry.Header, error) {
	if err := memfd.CheckSealed(f); err != nil {
		return nil, err
	}
	h, err := entry.Verify(f, r.digest, entry.Current())
	if err != nil {
		return nil, err
	}
	if h.ModuleSize != r.id.size {
		return nil, fmt.Errorf("a module of %d bytes instead of %d", h.ModuleSize, r.id.size)
	}
	return h, nil
}

// lookup returns the entry with a reference to it. errors.Is(err,
// fs.ErrNotExist) holds if there is none; otherwise what is there cannot be used.
func (c *Cache) lookup(r *request) (*code, error) {
	name := r.key.String()
	if used := c.inUse(r, name); used != nil {
		return used, nil
	}
	f, err := r.dir.openEntry(name)
	if err != nil {
		return nil, err
	}
	h, err := r.check(f)
	if err != nil {
		closeUnlocked(f)
		return nil, err
	}
	found := &code{file: f, key: r.key, header: h, exposed: r.dir.tree < 0, refs: 1}
	return c.use(r.dir, found), nil
}

// check accepts only the entry that was asked for.
func (r *request) check(f *os.File) (*entry.Header, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, os.NewSyscallError("fstat", err)
	}
	if r.isRejected(&st) {
		return nil, errRejected
	}
	h, err := entry.Verify(f, r.digest, entry.Current())
	if err == nil && h.ModuleSize != r.id.size {
		err = fmt.Errorf("%w: one of %d bytes instead of %d", entry.ErrOtherModule, h.ModuleSize, r.id.size)
	}
	return h, err
}

// inUse returns the entry if this process uses it and has verified it, and
// nobody has touched it since.
func (c *Cache) inUse(r *request, name string) *code {
	var st unix.Stat_t
	if err := unix.Fstatat(r.dir.entries, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil || r.isRejected(&st) {
		return nil
	}
	c.mu.Lock()
	used := c.stored[r.key]
	ok := used != nil && used.state == stateOf(&st) && used.header.ModuleSize == r.id.size
	if ok {
		used.refs++
	}
	c.mu.Unlock()
	if !ok {
		return nil
	}
	return c.use(r.dir, used)
}

// use notes the use of a verified entry for the eviction, and for those of this
// process who will want it too.
func (c *Cache) use(d *dir, used *code) *code {
	d.touch(used.key.String())
	var st unix.Stat_t
	err := unix.Fstat(int(used.file.Fd()), &st)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil { // else it will be verified again
		used.state = stateOf(&st)
		c.stored[used.key] = used
	}
	return used
}
