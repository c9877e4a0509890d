package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// cache is a directory with one subdirectory per tool and version. A tool's
// directory appears by a rename, so it is complete or not there.
type cache struct {
	root string
}

// openCache makes the cache: in $XDG_CACHE_HOME, or else in ~/.cache.
func openCache() (*cache, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("find the cache directory: %w", err)
	}
	root := filepath.Join(base, "containerd-shim-wazero")
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, fmt.Errorf("make the cache directory: %w", err)
	}
	return &cache{root: root}, nil
}

func (c *cache) dir(t tool) string { return filepath.Join(c.root, t.id()) }

func (c *cache) has(t tool) bool {
	_, err := os.Stat(c.dir(t))
	return err == nil
}

// get returns the directory of t, making it first when it is not there. Of
// several calls at once, one makes it and the others wait.
func (c *cache) get(ctx context.Context, t tool) (string, error) {
	dir := c.dir(t)
	if c.has(t) {
		return dir, nil
	}
	unlock, err := c.lock(t)
	if err != nil {
		return "", err
	}
	defer unlock()
	if c.has(t) {
		return dir, nil
	}

	// The name is fixed, so that what an interrupted run left is removed here.
	work := filepath.Join(c.root, "."+t.id()+".work")
	if err := removeTree(work); err != nil {
		return "", err
	}
	defer removeTree(work)
	out := filepath.Join(work, "out")
	if err := os.MkdirAll(out, 0o755); err != nil {
		return "", fmt.Errorf("make %s: %w", out, err)
	}
	fmt.Fprintf(os.Stderr, "%s %s %s (about %s) …\n", t.verb, t.name, t.version, t.about)
	begin := time.Now()
	if err := t.make(ctx, job{version: t.version, work: work, out: out}); err != nil {
		return "", fmt.Errorf("%s %s %s: %w", t.verb, t.name, t.version, err)
	}
	if err := os.Rename(out, dir); err != nil {
		return "", fmt.Errorf("put %s into the cache: %w", t.id(), err)
	}
	fmt.Fprintf(os.Stderr, "%s %s is ready after %s\n", t.name, t.version, time.Since(begin).Round(time.Second))
	return dir, nil
}

// lock takes an exclusive lock for t; the kernel drops it if the process dies.
func (c *cache) lock(t tool) (unlock func(), err error) {
	path := filepath.Join(c.root, "."+t.id()+".lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		fmt.Fprintf(os.Stderr, "waiting for another process that makes %s %s …\n", t.name, t.version)
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { f.Close() }, nil
}

// removeTree removes a tree in which directories may be read-only.
func removeTree(root string) error {
	_ = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = os.Chmod(path, 0o755) // what fails here fails in RemoveAll
		}
		return nil
	})
	return os.RemoveAll(root)
}
