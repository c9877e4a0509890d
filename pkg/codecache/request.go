package codecache

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/entry"
)

// request is what a flight needs. It does not depend on the caller who began it,
// who may be gone before it ends.
type request struct {
	dir    *dir // nil without cache
	module Module
	id     identity
	digest entry.Digest
	key    entry.Digest
	// rejected, if it is not nil, must not be found. A reference is held.
	rejected *code
	cache    *Cache
}

func (c *Cache) newRequest(m Module, rejected *code) (_ *request, err error) {
	r := &request{dir: c.tryDir(), cache: c}
	defer func() {
		if err != nil {
			r.dir.close()
		}
	}()
	if r.id, err = identify(m); err != nil {
		return nil, err
	}
	if r.digest, err = c.digest(r.dir, m, r.id); err != nil {
		return nil, err
	}
	fd, err := unix.FcntlInt(m.File.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("dup", err)
	}
	r.module = Module{File: os.NewFile(uintptr(fd), m.File.Name()), Name: m.Name, Digest: &r.digest}
	r.key = keyOf(r.digest, entry.Current())
	if rejected != nil {
		c.mu.Lock()
		rejected.refs++
		c.mu.Unlock()
		r.rejected = rejected
	}
	return r, nil
}

// isRejected compares with a file of the cache.
func (r *request) isRejected(st *unix.Stat_t) bool {
	var rejected unix.Stat_t
	return r.rejected != nil && unix.Fstat(int(r.rejected.file.Fd()), &rejected) == nil && sameFile(st, &rejected)
}

func (r *request) close() {
	r.module.File.Close()
	r.dir.close()
	if r.rejected != nil {
		r.cache.release(r.rejected)
	}
}
