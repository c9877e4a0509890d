package codecache

import (
	"errors"
	"fmt"
	"io/fs"
	"sort"
	"strings"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/entry"
)

// Entry is what the commands tell about an entry.
type Entry struct {
	// Key is its name in the cache.
	Key entry.Digest
	// Module, ModuleSize (in bytes) and Engine are what the code was compiled
	// from and for; zero values if Problem is set.
	Module     entry.Digest
	ModuleSize int64
	Engine     entry.Engine
	// Size is the one of the file in bytes.
	Size int64
	// Created and Used tell when it was written and last used by a start.
	Created, Used time.Time
	// InUse tells that a container uses it now.
	InUse bool
	// Current tells that it can be used by this shim on this machine.
	Current bool
	// Problem says what is wrong with it; empty if nothing is known to be. List
	// looks at headers only, Verify at everything.
	Problem string

	otherFormat bool
}

// List returns all entries, those that were used last first. Without a cache
// there are none.
func (c *Cache) List() ([]Entry, error) {
	d, err := c.existing()
	if d == nil {
		return nil, err
	}
	defer d.close()
	return d.list()
}

// existing is the directory for commands: they do not create it, and want to know
// why it cannot be used. Without one it is nil.
func (c *Cache) existing() (*dir, error) {
	d, err := openDir(c.config.Dir, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the cache cannot be used: %w", err)
	}
	return d, nil
}

func (d *dir) list() ([]Entry, error) {
	files, junk, _, err := d.files()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", d.path, err)
	}
	list := make([]Entry, 0, len(files)+len(junk))
	for _, f := range files {
		if e, ok := d.describe(f); ok {
			list = append(list, e)
		}
	}
	for _, name := range junk {
		key, _ := entry.ParseDigest(name)
		list = append(list, Entry{Key: key, Problem: errNoFile.Error()})
	}
	sort.SliceStable(list, func(i, j int) bool { return list[i].Used.After(list[j].Used) })
	return list, nil
}

// describe fails if the file is gone.
func (d *dir) describe(f file) (Entry, bool) {
	key, _ := entry.ParseDigest(f.name)
	e := Entry{Key: key, Size: f.size, Created: f.created, Used: f.used}
	opened, err := d.openFile(f.name)
	if errors.Is(err, fs.ErrNotExist) {
		return e, false
	}
	if err != nil {
		e.Problem = err.Error()
		return e, true
	}
	defer closeUnlocked(opened)
	e.InUse = !lockExclusive(opened)
	h, err := entry.ReadHeader(opened)
	if err == nil {
		e.Module, e.ModuleSize, e.Engine = h.Module, h.ModuleSize, h.Engine
		err = checkPlace(key, h, f.size)
	}
	if err != nil {
		e.Problem, e.otherFormat = err.Error(), errors.Is(err, entry.ErrOtherFormat)
	}
	e.Current = err == nil && h.Engine == entry.Current()
	return e, true
}

// checkPlace finds entries that are intact, but not what their name says.
func checkPlace(key entry.Digest, h *entry.Header, size int64) error {
	if h.Size() != size {
		return fmt.Errorf("%w: it has %d bytes instead of %d", entry.ErrDamaged, size, h.Size())
	}
	if keyOf(h.Module, h.Engine) != key {
		return fmt.Errorf("%w: %s", entry.ErrOtherModule, h.Module)
	}
	return nil
}

// Remove removes the entries of the module whose digest begins with prefix, or
// those whose keys do, and returns them. Entries that are in use are an error
// unless force is set; removing them harms nobody who uses them. So is a prefix
// that fits entries of several modules, or none. Nothing is removed then.
func (c *Cache) Remove(prefix string, force bool) ([]Entry, error) {
	d, err := c.existing()
	if err != nil {
		return nil, err
	}
	defer d.close()
	chosen, err := d.choose(strings.TrimPrefix(prefix, "sha256:"))
	if err != nil {
		return nil, err
	}
	for _, e := range chosen {
		if e.InUse && !force {
			return nil, fmt.Errorf("the code of module %s is in use by a container: stop it first, or force the removal", e.Module)
		}
	}
	for i, e := range chosen {
		if err := d.drop(e.Key.String()); err != nil {
			return chosen[:i], err
		}
	}
	return chosen, nil
}

// choose finds entries by a prefix of a digest.
func (d *dir) choose(prefix string) ([]Entry, error) {
	if prefix == "" {
		return nil, errors.New("say which module: give the first digits of its digest")
	}
	var list, chosen []Entry
	if d != nil {
		var err error
		if list, err = d.list(); err != nil {
			return nil, err
		}
	}
	for _, e := range list {
		readable := e.Module != entry.Digest{}
		if !strings.HasPrefix(e.Key.String(), prefix) && !(readable && strings.HasPrefix(e.Module.String(), prefix)) {
			continue
		}
		if len(chosen) > 0 && chosen[0].Module != e.Module {
			return nil, fmt.Errorf("%.80q fits several modules: give more digits", prefix)
		}
		chosen = append(chosen, e)
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("there is no compiled code of a module %.80q", prefix)
	}
	return chosen, nil
}
