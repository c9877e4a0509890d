package codecache

import (
	"fmt"
	"strings"
	"testing"
)

// What a start pays for code that is there: for the first container of a process,
// which verifies the entry, and for its siblings.
func BenchmarkHit(b *testing.B) {
	for _, size := range []int{100 << 10, 9 << 20, 35 << 20} {
		b.Run(fmt.Sprintf("%.1fMB", float64(size)/(1<<20)), func(b *testing.B) {
			f := newFixture(b)
			m := moduleOf(b, strings.Repeat("m", size))
			first := f.expect(b, m, Compiled, 1)
			m.Digest = &first.Digest
			check(b, first.Close())
			b.SetBytes(int64(size))
			for b.Loop() {
				code, err := f.Get(b.Context(), m)
				check(b, err)
				check(b, code.Close())
			}
		})
	}
	b.Run("sibling", func(b *testing.B) {
		f := newFixture(b)
		m := moduleOf(b, strings.Repeat("m", 35<<20))
		first := f.expect(b, m, Compiled, 1)
		m.Digest = &first.Digest
		for b.Loop() {
			code, err := f.Get(b.Context(), m)
			check(b, err)
			check(b, code.Close())
		}
	})
}

// What an unknown file costs.
func BenchmarkHash(b *testing.B) {
	c := New(Config{Disabled: true})
	const size = 26 << 20
	m := moduleOf(b, strings.Repeat("m", size))
	b.SetBytes(size)
	for b.Loop() {
		id, err := identify(m)
		check(b, err)
		_, err = c.hash(nil, m, id)
		check(b, err)
	}
}

// What storing costs, with what the disk takes for it.
func BenchmarkStore(b *testing.B) {
	f := newFixture(b)
	m := moduleOf(b, strings.Repeat("m", 35<<20))
	b.SetBytes(35 << 20)
	for b.Loop() {
		code, err := f.Get(b.Context(), m)
		check(b, err)
		check(b, code.Close())
		_, err = f.Prune(0)
		check(b, err)
	}
}
