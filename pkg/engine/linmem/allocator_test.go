package linmem

import (
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"
)

const page = 64 << 10

func TestMemoryGrowsInPlaceAndKeepsItsContent(t *testing.T) {
	t.Parallel()
	m := Unlimited().Allocate(page, 1000*page)
	defer m.Free()
	first := m.Reallocate(page)
	first[page-1] = 42
	grown := m.Reallocate(500 * page)
	if unsafe.SliceData(first) != unsafe.SliceData(grown) {
		t.Error("the memory moved")
	}
	if len(grown) != 500*page || grown[page-1] != 42 || grown[page] != 0 || grown[500*page-1] != 0 {
		t.Error("the content changed")
	}
	if cap(grown) != len(grown) {
		t.Error("the slice reaches into memory that is not accessible")
	}
}

func TestEmptyMemoryCanGrow(t *testing.T) {
	t.Parallel()
	m := Unlimited().Allocate(0, 2*page)
	defer m.Free()
	if b := m.Reallocate(0); b == nil || len(b) != 0 {
		t.Errorf("a memory of no pages is %v", b)
	}
	if b := m.Reallocate(2 * page); len(b) != 2*page {
		t.Errorf("it grew to %d bytes", len(b))
	}
	if b := Unlimited().Allocate(0, 0).Reallocate(0); b == nil {
		t.Error("a memory that can never have pages is refused")
	}
}

func TestBudgetIsSharedAndComesBack(t *testing.T) {
	t.Parallel()
	a := Limited(10 * page)
	one, two := a.Allocate(0, 100*page), a.Allocate(0, 100*page)
	if one.Reallocate(6*page) == nil || two.Reallocate(5*page) != nil {
		t.Error("two memories got more than the budget")
	}
	if !a.Refused() {
		t.Error("the refusal is forgotten")
	}
	if two.Reallocate(4*page) == nil {
		t.Error("the rest of the budget is lost")
	}
	one.Free()
	if two.Reallocate(10*page) == nil {
		t.Error("freed memory does not come back")
	}
	two.Free()
}

// TestRefusalTakesNothingFromOthers: one who wants too much must not keep, for a moment,
// what is enough for another.
func TestRefusalTakesNothingFromOthers(t *testing.T) {
	t.Parallel()
	const tries = 300_000
	a := Limited(10 * page)
	var left atomic.Int32
	var greedy sync.WaitGroup
	for range 3 {
		left.Add(1)
		greedy.Go(func() {
			defer left.Add(-1)
			for range tries {
				if a.take(11 * page) {
					t.Error("it got more than there is")
					return
				}
			}
		})
	}
	for left.Load() > 0 {
		if !a.take(page) {
			t.Error("it was refused, though there was enough")
			break
		}
		a.give(page)
	}
	greedy.Wait()
}

func TestModulesMaximumIsNoRefusal(t *testing.T) {
	t.Parallel()
	a := Limited(10 * page)
	m := a.Allocate(0, 2*page)
	defer m.Free()
	if m.Reallocate(3*page) != nil {
		t.Error("it grew beyond its maximum")
	}
	if a.Refused() {
		t.Error("the maximum of the module counts as a refusal")
	}
}

func TestReservationTakesNoMemory(t *testing.T) {
	before := resident(t)
	m := Unlimited().Allocate(0, 1<<32)
	defer m.Free()
	m.Reallocate(1 << 32)
	if grown := resident(t) - before; grown > 4096 {
		t.Errorf("4 GiB of untouched memory take %d KiB", grown)
	}
}

// resident returns this process's resident anonymous memory in KiB.
func resident(t *testing.T) int {
	t.Helper()
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(data), "RssAnon:")
	kib := 0
	for _, c := range strings.TrimSpace(after) {
		if c < '0' || c > '9' {
			break
		}
		kib = kib*10 + int(c-'0')
	}
	return kib
}
