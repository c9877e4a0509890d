// Package linmem backs the linear memories of guests with mmap.
//
// wazero would let a memory grow by copying it through the Go heap, which takes
// several times the memory and the time. Here the largest size is reserved as
// address space at once, so that a memory never moves and growing costs one
// mprotect; pages are charged when the guest first touches them.
package linmem

import (
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/tetratelabs/wazero/experimental"
)

// Allocator implements wazero's MemoryAllocator within a budget that all
// memories of the process share.
type Allocator struct {
	// budget is the number of bytes that may still be handed out; it counts
	// only if limited.
	budget  atomic.Int64
	limited bool
	refused atomic.Bool
	image   atomic.Pointer[Image]
	// parent is for an instance, see Instance, whose budget is what has been taken for it.
	parent *Allocator
}

var _ experimental.MemoryAllocator = (*Allocator)(nil)

// Unlimited returns an allocator that only the module's own maximum bounds.
func Unlimited() *Allocator {
	return &Allocator{}
}

// Limited returns an allocator that hands out at most budget bytes in total.
func Limited(budget int64) *Allocator {
	a := &Allocator{limited: true}
	a.budget.Store(max(budget, 0))
	return a
}

// Refused tells whether a memory could not get a size that its module allows:
// the budget or the kernel had no more.
func (a *Allocator) Refused() bool {
	return a.refused.Load()
}

// Use makes an image the content of the first memory that is allocated. It is
// the allocator's from then on.
func (a *Allocator) Use(i *Image) { a.image.Store(i) }

// Allocate implements the method of wazero's MemoryAllocator. The memory's
// address never changes, so that it may be shared.
func (a *Allocator) Allocate(_, limit uint64) experimental.LinearMemory {
	m := &memory{owner: a, limit: limit}
	if i := a.image.Swap(nil); i != nil {
		m.region = i.region
		m.limit = min(limit, uint64(len(i.region)))
	}
	return m
}

// take reserves bytes of the budget.
func (a *Allocator) take(n uint64) bool {
	if a.parent != nil {
		return a.takeAsInstance(n)
	}
	if !a.limited {
		return true
	}
	// What is too much is not taken, not even for a moment: others that want little would
	// be refused meanwhile.
	for {
		have := a.budget.Load()
		if have < 0 || n > uint64(have) {
			return false
		}
		if a.budget.CompareAndSwap(have, have-int64(n)) {
			return true
		}
	}
}

func (a *Allocator) give(n uint64) {
	if a.parent != nil {
		a.parent.give(n)
		return
	}
	if a.limited {
		a.budget.Add(int64(n))
	}
}

// memory is one linear memory. wazero serialises the calls of one memory.
type memory struct {
	owner *Allocator
	// region is the whole reservation, of which the first size bytes are
	// accessible; limit is its length in bytes.
	region []byte
	size   uint64
	limit  uint64
}

// Reallocate implements the method of wazero's LinearMemory. It returns nil when
// there is no more memory.
func (m *memory) Reallocate(size uint64) []byte {
	if size > m.limit {
		return nil
	}
	if m.region == nil && !m.reserve() {
		m.owner.refused.Store(true)
		return nil
	}
	if size > m.size && !m.grow(size) {
		m.owner.refused.Store(true)
		return nil
	}
	return m.region[:m.size:m.size]
}

func (m *memory) reserve() bool {
	if m.limit == 0 {
		m.region = []byte{}
		return true
	}
	region, err := reserve(m.limit)
	m.region = region
	return err == nil
}

// reserve takes the address space without any memory. MAP_NORESERVE keeps it out
// of the kernel's overcommit accounting.
func reserve(limit uint64) ([]byte, error) {
	return unix.Mmap(-1, 0, int(limit), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
}

func (m *memory) grow(size uint64) bool {
	// A memory is a multiple of 64 KiB, and so of any page size of Linux.
	delta := size - m.size
	if !m.owner.take(delta) {
		return false
	}
	if err := unix.Mprotect(m.region[m.size:size], unix.PROT_READ|unix.PROT_WRITE); err != nil {
		m.owner.give(delta)
		return false
	}
	m.size = size
	return true
}

// Free implements the method of wazero's LinearMemory.
func (m *memory) Free() {
	if len(m.region) > 0 {
		_ = unix.Munmap(m.region)
	}
	m.owner.give(m.size)
	m.region, m.size = nil, 0
}
