package engine

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/entry"
)

// small is a module of two functions and its entry.
func small(t testing.TB) (module, code []byte) {
	module = wat(t, `(module (func $f (result i32) (i32.const 20)) (func (export "run") (result i32) (i32.add (call $f) (i32.const 1))))`)
	return module, makeEntry(t, module, compile(t, module))
}

// TestTruncatedEntriesAreStale: what a runner meets if the shim's verification
// has been in vain.
func TestTruncatedEntriesAreStale(t *testing.T) {
	t.Parallel()
	module, code := small(t)
	m, err := ReadModule(file(t, module), "/guest.wasm")
	must(t, err)
	for size := range code {
		if size > 600 && size < len(code)-100 && size%61 != 0 {
			continue
		}
		for _, private := range []bool{false, true} {
			expectStale(t, m, code[:size], private, "%d bytes", size)
		}
	}
	expectStale(t, m, append(bytes.Clone(code), 0), false, "a byte more")
	expectStale(t, m, append(bytes.Clone(code), code...), true, "twice")
}

// TestFlippedBitsAreStale: every byte but those of the padding.
func TestFlippedBitsAreStale(t *testing.T) {
	t.Parallel()
	module, code := small(t)
	m, err := ReadModule(file(t, module), "/guest.wasm")
	must(t, err)
	h, err := entry.ReadHeader(bytes.NewReader(code))
	must(t, err)
	for i := range code {
		if int64(i) >= h.PrefixOffset()+h.PrefixSize && int64(i) < h.CodeOffset {
			continue
		}
		damaged := bytes.Clone(code)
		damaged[i] ^= 1 << (i % 8)
		expectStale(t, m, damaged, i%2 == 0, "byte %d", i)
	}
}

// expectStale loads in vain, twice the same module.
func expectStale(t *testing.T, m *Module, code []byte, private bool, format string, args ...any) {
	t.Helper()
	e, err := OpenEntry(file(t, code), private)
	if err == nil {
		var r *Runtime
		r, err = NewLoader(t.Context())
		must(t, err)
		_, err = r.Load(t.Context(), m, e)
		must(t, r.Close(t.Context()))
	}
	if _, ok := err.(*StaleError); !ok || !strings.HasPrefix(err.Error(), "the entry cannot be used: ") {
		t.Errorf(format+": %v", append(args, err)...)
	}
}

// TestImpossibleCodeIsStale: entries whose sums are right, from a compiler that
// lies. wazero itself would believe most of it.
func TestImpossibleCodeIsStale(t *testing.T) {
	t.Parallel()
	module, _ := small(t)
	m, err := ReadModule(file(t, module), "/guest.wasm")
	must(t, err)
	good := compile(t, module)
	l, err := parsePrefix(good.Prefix)
	must(t, err)
	head := len(wazeroMagic) + 1 + len(l.version)
	for name, c := range map[string]struct {
		change func(*Code)
		reason string
	}{
		"other version": {func(c *Code) { c.Prefix[head-1]++ }, "another version"},
		"longer version": {func(c *Code) {
			c.Prefix = slicesInsert(c.Prefix, head, '1')
			c.Prefix[len(wazeroMagic)]++
		}, ""},
		"no magic":              {func(c *Code) { c.Prefix[0] = 'w' }, "does not begin like"},
		"empty prefix":          {func(c *Code) { c.Prefix = nil }, "does not begin like"},
		"short prefix":          {func(c *Code) { c.Prefix = c.Prefix[:head+3] }, "ends early"},
		"endless version":       {func(c *Code) { c.Prefix[len(wazeroMagic)] = 255 }, "ends early"},
		"many functions":        {func(c *Code) { binary.LittleEndian.PutUint32(c.Prefix[head:], 1<<31) }, "ends early"},
		"a function less":       {func(c *Code) { c.Prefix = bytes.Clone(removeFunction(c.Prefix, head)) }, "for 1 functions, the module has 2"},
		"no functions":          {func(c *Code) { c.Prefix = removeFunction(removeFunction(c.Prefix, head), head) }, "for 0 functions"},
		"more prefix":           {func(c *Code) { c.Prefix = append(c.Prefix, 0) }, "another size"},
		"offset behind the end": {func(c *Code) { binary.LittleEndian.PutUint64(c.Prefix[head+4+8:], uint64(len(c.Code))) }, "not where they can be"},
		"negative offset":       {func(c *Code) { binary.LittleEndian.PutUint64(c.Prefix[head+4+8:], 1<<63) }, "not where they can be"},
		"same offset":           {func(c *Code) { binary.LittleEndian.PutUint64(c.Prefix[head+4+8:], 0) }, "not where they can be"},
		"larger code":           {func(c *Code) { binary.LittleEndian.PutUint64(c.Prefix[len(c.Prefix)-8:], 1<<40) }, "are announced"},
		"smaller code":          {func(c *Code) { c.Code = c.Code[:len(c.Code)-1] }, "are announced"},
		"no code": {func(c *Code) {
			c.Code = nil
			binary.LittleEndian.PutUint64(c.Prefix[len(c.Prefix)-8:], 0)
		}, "not where they can be"},
		"other code":           {func(c *Code) { c.Code[0] ^= 0xff }, "checksum mismatch"},
		"source map":           {func(c *Code) { c.Suffix[4] = 1 }, "end is malformed"},
		"catch clauses":        {func(c *Code) { c.Suffix[8] = 0xff }, "end is malformed"},
		"short suffix":         {func(c *Code) { c.Suffix = c.Suffix[:tailSize] }, "impossible size"},
		"empty suffix":         {func(c *Code) { c.Suffix = nil }, "impossible size"},
		"long suffix":          {func(c *Code) { c.Suffix = append(c.Suffix, c.Suffix...) }, "impossible size"},
		"checksum of the code": {func(c *Code) { c.Suffix[0] ^= 1 }, "checksum mismatch"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad := &Code{Key: good.Key, Prefix: bytes.Clone(good.Prefix), Code: bytes.Clone(good.Code), Suffix: bytes.Clone(good.Suffix)}
			c.change(bad)
			if len(bad.Suffix) == suffixSize {
				binary.LittleEndian.PutUint32(bad.Suffix[tailSize:], crc32.Checksum(bad.Prefix, castagnoli))
			}
			for _, private := range []bool{false, true} {
				e, err := OpenEntry(file(t, makeEntry(t, module, bad)), private)
				if err == nil {
					var r *Runtime
					r, err = NewLoader(t.Context())
					must(t, err)
					defer r.Close(t.Context())
					_, err = r.Load(t.Context(), m, e)
				}
				if _, ok := err.(*StaleError); !ok || !strings.Contains(err.Error(), c.reason) {
					t.Errorf("private %t: %v", private, err)
				}
			}
		})
	}
}

func slicesInsert(b []byte, at int, c byte) []byte {
	return append(append(bytes.Clone(b[:at]), c), b[at:]...)
}

// removeFunction takes the first function out of a prefix whose number of
// functions is at head.
func removeFunction(prefix []byte, head int) []byte {
	b := append(bytes.Clone(prefix[:head+4]), prefix[head+4+8:]...)
	binary.LittleEndian.PutUint32(b[head:], binary.LittleEndian.Uint32(b[head:])-1)
	return b
}

func TestEntryOfAnotherEngineIsStale(t *testing.T) {
	t.Parallel()
	module, code := small(t)
	m, err := ReadModule(file(t, module), "/guest.wasm")
	must(t, err)
	// The header has a sum of its own, so it is made anew.
	forged := bytes.Clone(code)
	copy(forged[128:], "wazero v0.0.0 amd64 none\x00")
	clear(forged[128+25 : 192])
	sum := sha256.Sum256(forged[:224])
	copy(forged[224:], sum[:])
	e, err := OpenEntry(file(t, forged), false)
	if e != nil || err == nil || !strings.Contains(err.Error(), "wazero v0.0.0 amd64 none") {
		t.Error(err)
	}
	m.Free()
}

// FuzzLoad feeds a runner with entries that have been changed anywhere: it must
// refuse them or load them, and not crash. Nothing is run.
func FuzzLoad(f *testing.F) {
	module, code := small(f)
	h, err := entry.ReadHeader(bytes.NewReader(code))
	must(f, err)
	f.Add(code, false)
	f.Add(code[:300], true)
	for _, at := range []int64{0, 100, h.PrefixOffset(), h.PrefixOffset() + 20, h.CodeOffset, h.SuffixOffset()} {
		b := bytes.Clone(code)
		b[at] ^= 0x80
		f.Add(b, at%2 == 0)
	}
	f.Fuzz(func(t *testing.T, data []byte, private bool) {
		if len(data) >= 256 {
			sum := sha256.Sum256(data[:224]) // get further
			copy(data[224:], sum[:])
		}
		m, err := readModule(bytes.NewReader(module), int64(len(module)), "/guest.wasm", false)
		must(t, err)
		defer m.Free()
		e, err := OpenEntry(file(t, data), private)
		if err == nil {
			r, loaderErr := NewLoader(t.Context())
			must(t, loaderErr)
			defer r.Close(t.Context())
			_, err = r.Load(t.Context(), m, e)
		}
		if err != nil {
			if _, ok := err.(*StaleError); !ok {
				t.Errorf("%v", err)
			}
		}
	})
}
