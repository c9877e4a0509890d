package codecache

import (
	"context"
	"time"
)

// flight looks for one entry, and compiles, for all callers of this process who
// want it at the same time. waiters and finished are guarded by the cache's mutex.
type flight struct {
	cache    *Cache
	waiters  int
	finished bool

	done   chan struct{} // closed when the following are set
	result result
	err    error
}

// result holds a reference to code for each waiter.
type result struct {
	code          *code
	outcome       Outcome
	wait, compile time.Duration
}

// followed turns the result into that of somebody who did not lead the flight but
// spent the time in it.
func (r *result) followed(spent time.Duration) {
	r.wait, r.compile = spent, 0
	switch r.outcome {
	case Hit:
		r.wait = 0
	case Compiled, Repaired:
		r.outcome = Waited
	}
}

// join takes over r.
func (c *Cache) join(r *request) (f *flight, led bool) {
	c.mu.Lock()
	f = c.flights[r.key]
	if f == nil {
		f, led = &flight{cache: c, done: make(chan struct{})}, true
		c.flights[r.key] = f
	}
	f.waiters++
	c.mu.Unlock()
	if led {
		go f.run(r)
	} else {
		r.close()
	}
	return f, led
}

func (f *flight) run(r *request) {
	res, err := f.cache.find(r, f.abandoned)
	c := f.cache
	c.mu.Lock()
	f.result, f.err, f.finished = res, err, true
	delete(c.flights, r.key)
	unwanted := err == nil && f.waiters == 0
	if err == nil && !unwanted {
		res.code.refs += f.waiters - 1 // one is there
	}
	c.mu.Unlock()
	if unwanted {
		c.release(res.code)
	}
	r.close()
	close(f.done)
}

// abandoned tells that nobody waits any more.
func (f *flight) abandoned() bool {
	f.cache.mu.Lock()
	defer f.cache.mu.Unlock()
	return f.waiters == 0
}

// wait returns with a reference to the code unless it fails.
func (f *flight) wait(ctx context.Context) (result, error) {
	select {
	case <-f.done:
		return f.result, f.err
	case <-ctx.Done():
	}
	f.cache.mu.Lock()
	finished := f.finished
	if !finished {
		f.waiters--
	}
	f.cache.mu.Unlock()
	if finished && f.err == nil {
		f.cache.release(f.result.code)
	}
	return result{}, ctx.Err()
}
