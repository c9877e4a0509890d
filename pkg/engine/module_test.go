package engine

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero/experimental"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/engine/linmem"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/engine/wasmbin"
)

// section returns a section with its size; custom one that is not of the format.
func section(id byte, body string) string {
	return string(binary.AppendUvarint([]byte{id}, uint64(len(body)))) + body
}

func custom(name, content string) string {
	return section(0, string(binary.AppendUvarint(nil, uint64(len(name))))+name+content)
}

// parts of a module: a function type, a memory, a function with two bytes of
// code, data.
var parts = []string{
	magic, section(1, "\x01\x60\x00\x01\x7f"), section(3, "\x01\x00"), section(5, "\x01\x00\x01"),
	section(7, "\x01\x03run\x00\x00"), section(10, "\x01\x04\x00\x41\x05\x0b"), section(11, "\x01\x00\x41\x08\x0b\x03abc"),
}

func keyOf(t *testing.T, module string) [32]byte {
	t.Helper()
	m, err := readModule(strings.NewReader(module), int64(len(module)), "/guest.wasm", false)
	must(t, err)
	defer m.Free()
	return m.Key
}

func TestOnlyCustomSectionsDoNotCount(t *testing.T) {
	t.Parallel()
	plain := strings.Join(parts, "")
	key := keyOf(t, plain)
	debug := custom(".debug_info", strings.Repeat("x", 3*windowSize))
	for i := 1; i <= len(parts); i++ {
		for _, extra := range []string{custom("producers", ""), custom("", "x"), custom("names", "x"), debug, section(0, "\xff\xff\xff\xff\x0fname"), section(0, "\x84\x80\x80\x80\x10name")} {
			module := strings.Join(parts[:i], "") + extra + strings.Join(parts[i:], "")
			if keyOf(t, module) != key {
				t.Errorf("%.20q at %d counts", extra, i)
			}
		}
	}
	if keyOf(t, plain+custom("name", "\x01\x05\x01\x00\x02go")) == key {
		t.Error("names do not count")
	}
	if keyOf(t, plain+section(0, "\x84\x00name\x01\x05\x01\x00\x02go")) == key {
		t.Error("names in another encoding do not count")
	}
}

// TestEveryOtherByteCounts: a module with another byte has another key, or is
// refused.
func TestEveryOtherByteCounts(t *testing.T) {
	t.Parallel()
	nameless := strings.Join(parts, "")
	plain := nameless + custom("name", "\x01\x05\x01\x00\x02go")
	seen := map[[32]byte]int{keyOf(t, plain): -1}
	for i := range plain {
		for bit := range 8 {
			b := []byte(plain)
			b[i] ^= 1 << bit
			m, err := readModule(bytes.NewReader(b), int64(len(b)), "/guest.wasm", false)
			if errors.Is(err, errData) {
				m, err = readModule(bytes.NewReader(b), int64(len(b)), "/guest.wasm", true)
			}
			if err != nil {
				continue
			}
			// A custom section with another name does not count at all.
			if other, ok := seen[m.Key]; ok && other != i && m.Key != keyOf(t, nameless) {
				t.Errorf("bytes %d and %d: the same key", i, other)
			}
			seen[m.Key] = i
			m.Free()
		}
	}
	if len(seen) < 5*len(plain) {
		t.Errorf("%d keys for %d bytes", len(seen), len(plain))
	}
}

// TestKeysDoNotDependOnHowAModuleIsRead: large bodies, and data in the skeleton
// or not.
func TestKeysDoNotDependOnHowAModuleIsRead(t *testing.T) {
	t.Parallel()
	body := "\x00" + strings.Repeat("\x01", 2*windowSize) + "\x41\x05\x0b"
	size := string(binary.AppendUvarint(nil, uint64(len(body))))
	data := strings.Repeat("d", windowSize)
	module := strings.Join(parts[:3], "") + section(5, "\x01\x00\x20") + parts[4] + section(10, "\x01"+size+body) +
		section(11, "\x01\x00\x41\x08\x0b"+string(binary.AppendUvarint(nil, uint64(len(data))))+data)
	here := keyOf(t, module)
	m, err := readModule(strings.NewReader(module), int64(len(module)), "/guest.wasm", true)
	must(t, err)
	if m.Key != here || m.Image() != nil {
		t.Error("data in the skeleton makes another key")
	}
	if !bytes.Contains(m.skeleton, []byte(data)) || len(m.skeleton) > len(data)+200 {
		t.Errorf("the skeleton has %d bytes", len(m.skeleton))
	}
	if want := compile(t, []byte(module)).Key; want != here {
		t.Error("the compiler has another key")
	}
}

func TestDamagedModulesAreRefused(t *testing.T) {
	t.Parallel()
	plain := strings.Join(parts, "")
	for name, c := range map[string]struct{ module, message string }{
		"empty":                 {"", "is empty"},
		"text":                  {"hello", "does not begin like"},
		"component":             {"\x00asm\x0d\x00\x01\x00", "does not begin like"},
		"short":                 {plain[:6], "does not begin like"},
		"half a section":        {plain[:len(plain)-1], "it ends in the middle of the data section"},
		"no size":               {magic + "\x01", "not readable"},
		"endless size":          {magic + "\x01\xff\xff\xff\xff\xff", "not readable"},
		"huge section":          {magic + "\x0a\xff\xff\xff\xff\x0f", "in the middle of the code section (0 of 4294967295 bytes)"},
		"too many functions":    {magic + section(10, "\xff\xff\xff\xff\x0f"), "code section is malformed"},
		"body too long":         {magic + section(10, "\x01\x05\x00\x0b"), "code section is malformed"},
		"body too short":        {magic + section(10, "\x01\x01\x00\x0b"), "another size than the section"},
		"body into the next":    {magic + section(10, "\x01\xff") + section(11, strings.Repeat("x", 500)), "code section is malformed"},
		"no room for the count": {magic + section(10, ""), "code section is malformed"},
	} {
		m, err := ReadModule(file(t, []byte(c.module)), "/guest.wasm")
		if err == nil || !strings.HasPrefix(err.Error(), `module "/guest.wasm" `) || !strings.Contains(err.Error(), c.message) {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
}

func TestFilesThatCannotBeReadAreErrors(t *testing.T) {
	t.Parallel()
	dir, err := os.Open(t.TempDir())
	must(t, err)
	defer dir.Close()
	if _, err := ReadModule(dir, "/dir"); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Error(err)
	}
	// A file that is truncated while it is read.
	if _, err := readModule(strings.NewReader(strings.Join(parts, "")), 1<<20, "/guest.wasm", true); err == nil || !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	closed := file(t, []byte(magic))
	must(t, closed.Close())
	if _, err := ReadModule(closed, "/guest.wasm"); err == nil {
		t.Error("a closed file")
	}
}

// TestMemoriesOfAllKindsCanBeRead: what is unusual is left to wazero.
func TestMemoriesOfAllKindsCanBeRead(t *testing.T) {
	t.Parallel()
	for section5, image := range map[string]bool{
		"\x01\x00\x01": true, "\x01\x01\x01\x02": true, "\x01\x03\x01\x01": true, "\x01\x00\x80\x80\x04": true, "\x01\x00\x81\x00": true,
		"\x00": false, "": false, "\x01": false, "\x01\x00": false, "\x01\x00\x00": false, "\x01\x04\x01": false, "\x01\x01\x02\x01": false,
		"\x02\x00\x01\x00\x01": false, "\x01\x00\x81\x80\x04": false, "\x01\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff": false, "\x01\x01\x01": false,
	} {
		module := magic + section(5, section5)
		m, err := readModule(strings.NewReader(module), int64(len(module)), "/guest.wasm", false)
		must(t, err)
		if got := m.Image() != nil; got != image {
			t.Errorf("%q: an image is %t", section5, got)
		}
		m.Free()
	}
	twice := magic + section(5, "\x01\x00\x01") + section(5, "\x01\x00\x01")
	m, err := readModule(strings.NewReader(twice), int64(len(twice)), "/guest.wasm", false)
	must(t, err)
	if m.Image() != nil {
		t.Error("two memories have one image")
	}
}

func TestSignedNumbers(t *testing.T) {
	t.Parallel()
	for encoded, want := range map[string]int32{
		"\x00": 0, "\x3f": 63, "\x40": -64, "\x7f": -1, "\xc0\x00": 64, "\xbf\x7f": -65, "\xff\xff\xff\xff\x07": 1<<31 - 1, "\x80\x80\x80\x80\x78": -1 << 31,
		"\xff\xff\xff\xff\x7f": -1, "\x80\x80\x80\x80\x00": 0,
	} {
		s := newSource(strings.NewReader(encoded), int64(len(encoded)), nil)
		if got, err := s.s32(); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", encoded, got, err, want)
		}
	}
	for _, encoded := range []string{"", "\x80", "\xff\xff\xff\xff\x08", "\x80\x80\x80\x80\x80\x00", "\x80\x80\x80\x80\x70", "\xff\xff\xff\xff\x0f"} {
		s := newSource(strings.NewReader(encoded), int64(len(encoded)), nil)
		if got, err := s.s32(); err == nil {
			t.Errorf("%q: %d", encoded, got)
		}
	}
}

// FuzzReadModule reads anything: no crash, and no more output than input.
func FuzzReadModule(f *testing.F) {
	f.Add([]byte(strings.Join(parts, "")))
	f.Add([]byte(strings.Join(parts, "") + custom("name", "\x01\x05\x01\x00\x02go")))
	for _, name := range []string{"data that overlap", "passive data", "computed offset", "table", "shared memory", "only imports", "types", "data out of bounds"} {
		f.Add(wat(f, "(module "+guests[name]+")"))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := readModule(bytes.NewReader(data), int64(len(data)), "/guest.wasm", false)
		if errors.Is(err, errData) {
			m, err = readModule(bytes.NewReader(data), int64(len(data)), "/guest.wasm", true)
		}
		if err != nil {
			return
		}
		defer m.Free()
		if len(m.skeleton) > 2*len(data)+100 || m.functions > len(data) {
			t.Fatalf("%d bytes with %d functions became %d", len(data), m.functions, len(m.skeleton))
		}
		if m.Image() != nil && m.Image().Filled() > int64(len(data)) {
			t.Fatal("more data than file")
		}
		_, _ = m.Outline()
	})
}

// FuzzData compares with wazero for any memory and data sections: what it accepts
// can be read, what is read of it is accepted, and the guest finds the same in
// its memory.
func FuzzData(f *testing.F) {
	f.Add([]byte("\x01\x00\x01"), []byte("\x01\x00\x41\x08\x0b\x03abc"), byte(0))
	f.Add([]byte("\x01\x01\x01\x02"), []byte("\x02\x02\x00\x41\x08\x0b\x03abc\x00\x41\x09\x0b\x01x"), byte(0))
	f.Add([]byte("\x01\x03\x01\x02"), []byte("\x02\x00\x41\x7f\x0b\x00\x01\x03abc"), byte(2))
	f.Add([]byte("\x01\x00\x01"), []byte("\x02\x00\x41\xff\xff\x03\x0b\x01x\x00\x41\x80\x80\x04\x0b\x01x"), byte(0))
	f.Add([]byte("\x01\x00\x01"), []byte("\x01\x00\x41\x05\x41\x06\x6a\x0b\x01x"), byte(1))
	f.Add([]byte("\x01\x00\x01"), []byte("\x01\x00\x23\x00\x0b\x01x"), byte(0))
	f.Fuzz(func(t *testing.T, memories, segments []byte, count byte) {
		if len(segments) == 0 || segments[0] > 0x7f { // wazero would believe any number
			return
		}
		module := strings.Join(parts[:3], "") + section(5, string(memories)) + section(7, "\x01\x06memory\x02\x00")
		if count > 0 {
			module += section(12, string(rune(count%128)))
		}
		data := []byte(module + parts[5] + section(11, string(segments)))
		outline, err := wasmbin.Parse(data)
		if err != nil || outline.MemoryPages > 64 {
			return
		}
		ctx := t.Context()
		whole := NewInterpreter(ctx)
		defer whole.Close(ctx)
		compiled, err := whole.CompileModule(ctx, data)
		if err != nil {
			return // no entry exists for it
		}
		m, err := readModule(bytes.NewReader(data), int64(len(data)), "/guest.wasm", false)
		if errors.Is(err, errData) {
			m, err = readModule(bytes.NewReader(data), int64(len(data)), "/guest.wasm", true)
		}
		if err != nil {
			t.Fatalf("wazero accepts what cannot be read: %v", err)
		}
		part := NewInterpreter(ctx)
		defer part.Close(ctx)
		skeleton, err := part.CompileModule(ctx, m.skeleton)
		if err != nil {
			m.Free()
			t.Fatalf("wazero accepts the module, but not without functions: %v", err)
		}
		a := memory(ctx, t, &loaded{runtime: whole, compiled: compiled}, nil)
		b := memory(ctx, t, &loaded{runtime: part, compiled: skeleton}, m.Image())
		if !bytes.Equal(a, b) {
			t.Fatal("another memory")
		}
	})
}

// memory returns what the exported memory of a new instance looks like; nil if
// there is none.
func memory(ctx context.Context, t *testing.T, l *loaded, image *linmem.Image) []byte {
	allocator := linmem.Unlimited()
	if image != nil {
		allocator.Use(image)
	}
	ctx = experimental.WithMemoryAllocator(ctx, allocator)
	m, err := l.runtime.InstantiateModule(ctx, l.compiled, quiet)
	if err != nil {
		return []byte(err.Error())
	}
	defer m.Close(ctx)
	for name := range l.compiled.ExportedMemories() {
		b, ok := m.ExportedMemory(name).Read(0, m.ExportedMemory(name).Size())
		if !ok {
			t.Fatal("no memory")
		}
		return bytes.Clone(b)
	}
	return nil
}
