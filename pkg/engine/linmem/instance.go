package linmem

import (
	"bytes"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// ErrBudget is wrapped by Instance's error if the budget has not enough left.
var ErrBudget = errors.New("the memory limit leaves no more")

// Instance returns the allocator of one of several instances that run at a time, within
// the budget of a. Its memory begins with size bytes, which are taken from the budget
// now, and with a copy of the image, unless that is nil. What is refused to it is not
// refused to a.
func (a *Allocator) Instance(size uint64, image *Image) (*Allocator, error) {
	if !a.take(size) {
		return nil, fmt.Errorf("%s: %w", mebibytes(size), ErrBudget)
	}
	i := &Allocator{parent: a}
	i.budget.Store(int64(size))
	if image != nil {
		copied, err := image.copy()
		if err != nil {
			a.give(size)
			return nil, err
		}
		i.Use(copied)
	}
	return i, nil
}

// Release gives back what the memory of an instance has not taken, or has freed.
func (a *Allocator) Release() {
	if i := a.image.Swap(nil); i != nil {
		i.Free()
	}
	a.parent.give(uint64(a.budget.Swap(0)))
}

// takeAsInstance uses up what has been taken beforehand.
func (a *Allocator) takeAsInstance(n uint64) bool {
	if have := a.budget.Load(); uint64(have) >= n {
		a.budget.Add(-int64(n))
		return true
	}
	return a.parent.take(n)
}

// Protect makes it an error to write to an image that is to be copied, once it is whole.
func (i *Image) Protect() error {
	var parts []part
	for _, p := range i.parts {
		for from := p.from; from < p.to; {
			// Whole pages that are zero are so in new memory, where they take none.
			to := min(p.to, from/pageSize*pageSize+pageSize)
			if !bytes.Equal(i.region[from:to], zeroes[:to-from]) {
				parts = joined(parts, part{from, to})
			}
			from = to
		}
	}
	i.parts = parts
	if err := unix.Mprotect(i.region[:i.size], unix.PROT_READ); err != nil {
		return fmt.Errorf("make %s read-only: %w", mebibytes(i.size), err)
	}
	return nil
}

// copy takes as much memory as there is that is not zero.
func (i *Image) copy() (*Image, error) {
	c, err := NewImage(i.size, uint64(len(i.region)))
	if err != nil {
		return nil, err
	}
	for _, p := range i.parts {
		copy(c.region[p.from:p.to], i.region[p.from:p.to])
	}
	return c, nil
}

// part is a range of an image that has been filled.
type part struct{ from, to uint64 }

// pageSize is the smallest of Linux.
const pageSize = 4096

var zeroes [pageSize]byte

// joined appends a part to those that are there.
func joined(parts []part, p part) []part {
	if n := len(parts); n > 0 && parts[n-1].to == p.from {
		parts[n-1].to = p.to
		return parts
	}
	return append(parts, p)
}

func mebibytes(n uint64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
