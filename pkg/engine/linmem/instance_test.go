package linmem

import (
	"bytes"
	"errors"
	"testing"
)

func TestInstancesHaveCopiesWithinOneBudget(t *testing.T) {
	t.Parallel()
	const page, size = 64 << 10, 4 * (64 << 10)
	image, err := NewImage(size, 16*page)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []uint32{0, 10, 3*page - 1} {
		place, ok := image.At(at, 3)
		if !ok {
			t.Fatal(at)
		}
		copy(place, "abc")
	}
	zeroes, _ := image.At(page, page)
	clear(zeroes)
	if err := image.Protect(); err != nil {
		t.Fatal(err)
	}
	all := Limited(2*size + page)
	var instances []*Allocator
	for range 2 {
		i, err := all.Instance(size, image)
		if err != nil {
			t.Fatal(err)
		}
		instances = append(instances, i)
	}
	if _, err := all.Instance(size, image); !errors.Is(err, ErrBudget) {
		t.Errorf("a third one: %v", err)
	}
	first := instances[0].Allocate(size, 16*page)
	b := first.Reallocate(size)
	want := make([]byte, size)
	copy(want, "abc")
	copy(want[10:], "abc")
	copy(want[3*page-1:], "abc")
	if !bytes.Equal(b, want) {
		t.Error("the memory has another content than the image")
	}
	b[0], b[size-1] = 'x', 'x'
	if b := first.Reallocate(size + page); len(b) != size+page || b[0] != 'x' {
		t.Errorf("%d bytes after growing", len(b))
	}
	if first.Reallocate(size+2*page) != nil || !instances[0].Refused() || instances[1].Refused() || all.Refused() {
		t.Error("it grows beyond the budget of all, or others are told so")
	}
	second := instances[1].Allocate(size, 16*page)
	if b := second.Reallocate(size); !bytes.Equal(b, want) {
		t.Error("the second one sees the first one's changes")
	}
	first.Free()
	instances[0].Release()
	// One that was never used.
	i, err := all.Instance(size+page, image)
	if err != nil {
		t.Fatal(err)
	}
	i.Release()
	second.Free()
	instances[1].Release()
	if left := all.budget.Load(); left != 2*size+page {
		t.Errorf("%d bytes are left of the budget", left)
	}
}
