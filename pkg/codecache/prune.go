package codecache

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/entry"
)

// Pruned is what Prune removed.
type Pruned struct {
	Entries []Entry
	// Size is the sum of their sizes in bytes.
	Size int64
	// Leftovers are temporary files and locks of processes that are gone.
	Leftovers int
	// Hints are remembered digests of files without an entry.
	Hints int
}

// Prune removes what is of no use: entries for other engines and of other
// formats, damaged ones as far as their headers show it, what processes that are
// gone have left, and digests without entry. Then it removes the entries that were
// not used for the longest time until maxSize bytes are left. Entries in use stay.
func (c *Cache) Prune(maxSize int64) (Pruned, error) {
	var p Pruned
	d, err := c.existing()
	if d == nil {
		return p, err
	}
	defer d.close()
	list, err := d.list()
	if err != nil {
		return p, err
	}
	byName := map[string]Entry{}
	for _, e := range list {
		byName[e.Key.String()] = e
		if e.Current {
			continue
		}
		gone, dropErr := d.clean(e.Key.String())
		err = errors.Join(err, dropErr)
		if gone {
			p.add(e)
		}
	}
	p.Leftovers, _ = d.cleanLeftovers()
	for _, f := range d.evict(maxSize, "") {
		p.add(byName[f.name])
	}
	p.Hints = d.cleanHints()
	return p, err
}

func (p *Pruned) add(e Entry) {
	p.Entries = append(p.Entries, e)
	p.Size += e.Size
}

// cleanLeftovers removes temporary files and locks that nobody holds.
func (d *dir) cleanLeftovers() (n int, err error) {
	_, _, rest, err := d.files()
	for _, name := range rest {
		if !strings.HasPrefix(name, temporary) {
			continue
		}
		if gone, _ := d.clean(name); gone {
			n++
		}
	}
	locks, locksErr := names(d.locks)
	for _, name := range locks {
		if d.cleanLock(name) {
			n++
		}
	}
	return n, errors.Join(err, locksErr)
}

// cleanLock removes the lock of a process that was killed: the others remove
// theirs.
func (d *dir) cleanLock(name string) bool {
	fd, err := unix.Openat(d.locks, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	l := &keyLock{dir: d, name: name, file: os.NewFile(uintptr(fd), name)}
	defer closeUnlocked(l.file)
	if unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) != nil {
		return false
	}
	removed, err := l.isRemoved()
	return err == nil && !removed && unix.Unlinkat(d.locks, name, 0) == nil
}

// cleanHints removes digests that lead to no entry.
func (d *dir) cleanHints() (n int) {
	list, _ := names(d.digests)
	for _, name := range list {
		if digest, ok := d.hint(identity{name: name}); ok {
			var st unix.Stat_t
			if unix.Fstatat(d.entries, keyOf(digest, entry.Current()).String(), &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
				continue
			}
		}
		if d.removeHint(name) == nil {
			n++
		}
	}
	return n
}

// Verified is the result of Verify.
type Verified struct {
	// Intact counts the entries that are good to the last bit.
	Intact int
	// Unknown counts those of other formats, which another shim may verify.
	Unknown int
	// Removed are the others; Problem says why. There is an error besides if one
	// could not be removed.
	Removed []Entry
}

// Verify reads all entries in full and removes those that are damaged, or are not
// what their names say. Whoever uses one of them keeps it.
func (c *Cache) Verify() (Verified, error) {
	var v Verified
	d, err := c.existing()
	if d == nil {
		return v, err
	}
	defer d.close()
	list, err := d.list()
	if err != nil {
		return v, err
	}
	for _, e := range list {
		if e.otherFormat {
			v.Unknown++
			continue
		}
		if e.Problem == "" {
			problem, gone := d.verify(e.Key)
			if gone {
				continue
			}
			if e.Problem = problem; problem == "" {
				v.Intact++
				continue
			}
		}
		if dropErr := d.drop(e.Key.String()); dropErr != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", e.Problem, dropErr))
		}
		v.Removed = append(v.Removed, e)
	}
	return v, err
}

// verify says what is wrong with an entry, if it still is there.
func (d *dir) verify(key entry.Digest) (problem string, gone bool) {
	f, err := d.openEntry(key.String())
	if errors.Is(err, os.ErrNotExist) {
		return "", true
	}
	if err != nil {
		return err.Error(), false
	}
	defer closeUnlocked(f)
	h, err := entry.VerifyAny(f)
	if err == nil {
		err = checkPlace(key, h, h.Size())
	}
	if err != nil {
		return err.Error(), false
	}
	return "", false
}
