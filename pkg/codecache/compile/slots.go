package compile

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// slots are as many as compilers may run on this node at the same time: locks on
// files, which the kernel releases with the shim that holds one.
type slots struct {
	dir    string
	count  int
	here   chan int // of this process, if there is no directory
	warned *once
}

// slot is the right to run one compiler.
type slot struct {
	// number is that of no other compiler that runs, from 0 on.
	number  int
	release func()
}

func newSlots(dir string, count int, warned *once) *slots {
	s := &slots{dir: dir, count: count, here: make(chan int, count), warned: warned}
	for i := range count {
		s.here <- i
	}
	return s
}

// acquire waits for a slot.
func (s *slots) acquire(ctx context.Context, patience time.Duration) (slot, error) {
	timer, cancel := context.WithTimeoutCause(ctx, patience, failure(ErrLimit,
		"%d compilers have been busy with other modules for %s: raise compile_parallel or compile_timeout", s.count, patience))
	defer cancel()
	if s.dir != "" {
		got, err := s.acquireFile(timer)
		switch {
		case err == nil:
			return got, nil
		case timer.Err() != nil:
			return slot{}, context.Cause(timer)
		}
		s.warned.warn("compilers are counted for each shim instead of for the node", err)
	}
	if timer.Err() != nil {
		return slot{}, context.Cause(timer)
	}
	select {
	case i := <-s.here:
		return slot{i, func() { s.here <- i }}, nil
	case <-timer.Done():
		return slot{}, context.Cause(timer)
	}
}

// acquireFile asks again and again: there is no waiting for one of several locks.
func (s *slots) acquireFile(ctx context.Context) (slot, error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return slot{}, err
	}
	for {
		for i := range s.count {
			release, err := s.try(i)
			if err == nil {
				return slot{i, release}, nil
			}
			if !errors.Is(err, unix.EWOULDBLOCK) {
				return slot{}, err
			}
		}
		const least, spread = 10 * time.Millisecond, 20 * time.Millisecond
		select {
		case <-time.After(least + rand.N(spread)):
		case <-ctx.Done():
			return slot{}, ctx.Err()
		}
	}
}

// try takes slot i if it is free.
func (s *slots) try(i int) (release func(), err error) {
	path := filepath.Join(s.dir, "slot-"+strconv.Itoa(i))
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { f.Close() }, nil
}
