package engine

import (
	"errors"
	"os"
	"reflect"
	"regexp"
	"testing"

	"github.com/tetratelabs/wazero"
)

// readVersion is the wazero whose source this package has been checked against.
//
// For another one, read in it what this package relies on:
//   - cache.go: the field fileCache, and that the engine gets it;
//   - internal/filecache: the interface;
//   - internal/engine/wazevo/engine_cache.go: the format (see format.go), that
//     the code is read with one Read into a mapping of its own, that its checksum
//     is compared before it is made executable, and that a mapping is forgotten
//     on errors;
//   - internal/wasm: that nothing looks at a function's body after compiling, and
//     that data segments without a data count section matter to nobody but
//     instantiation;
//   - internal/platform/mmap_unix.go: that golang.org/x/sys/unix makes mappings.
const readVersion = "v1.12.0"

func TestWazeroIsTheOneThatThisPackageKnows(t *testing.T) {
	t.Parallel()
	mod, err := os.ReadFile("../../go.mod")
	must(t, err)
	m := regexp.MustCompile(`(?m)^\s*github.com/tetratelabs/wazero (\S+)$`).FindSubmatch(mod)
	if m == nil || string(m[1]) != readVersion {
		t.Errorf("go.mod has wazero %s: see what to read in the comment at readVersion, then change it", m)
	}
}

// TestCodePassesThroughTheExchange: the injection works, and wazero asks for the
// code of the guest only.
func TestCodePassesThroughTheExchange(t *testing.T) {
	t.Parallel()
	module := wat(t, `(module (func (export "run") (result i32) (i32.const 1)))`)
	r, err := newExchanging(t.Context())
	must(t, err)
	defer r.Close(t.Context())
	if r.exchange.compiled != nil {
		t.Error("the host's module has been handed out")
	}
	_, err = r.CompileModule(t.Context(), module)
	must(t, err)
	code, err := split(r.exchange.compiled)
	must(t, err)
	must(t, checkParts(code.Prefix, code.Suffix, int64(len(code.Code)), 1))
}

// TestOtherInternalsAreNoticed: what a wazero would look like that has changed.
func TestOtherInternalsAreNoticed(t *testing.T) {
	t.Parallel()
	for name, cache := range map[string]any{
		"no pointer":   struct{ fileCache interface{ Get() } }{},
		"no struct":    new(int),
		"no field":     &struct{ files *exchange }{},
		"no interface": &struct{ fileCache *exchange }{},
		"another one": &struct {
			fileCache interface{ Get([32]byte) error }
		}{},
		"another function": &struct {
			fileCache interface{ Delete([32]byte, bool) error }
		}{},
	} {
		if err := (&exchange{}).inject(reflect.ValueOf(cache)); !errors.Is(err, ErrInternals) {
			t.Errorf("%s: %v", name, err)
		}
	}
	cache := wazero.NewCompilationCache()
	e := &exchange{}
	must(t, e.inject(reflect.ValueOf(cache)))
	if got := reflect.ValueOf(cache).Elem().FieldByName("fileCache").Elem().UnsafePointer(); got != reflect.ValueOf(e).UnsafePointer() {
		t.Error("it is not there")
	}
}

// TestMappingsOfWazeroAreReplacedAndNothingElse: give must not touch memory that
// is not a mapping of its own.
func TestMappingsOfWazeroAreReplacedAndNothingElse(t *testing.T) {
	t.Parallel()
	_, code := small(t)
	e, err := OpenEntry(file(t, code), false)
	must(t, err)
	defer e.Close()
	size := int(e.header.CodeSize)
	heap := make([]byte, size+3*os.Getpagesize())
	for _, b := range [][]byte{heap[:size], heap[os.Getpagesize() : os.Getpagesize()+size : os.Getpagesize()+size], make([]byte, 1<<20)[:size]} {
		f := &feed{entry: e, at: e.header.PrefixSize}
		n, err := f.Read(b)
		if err != nil || n != size || string(b) != string(e.code) {
			t.Errorf("%d of %d bytes, %v", n, size, err)
		}
		if f.target != nil {
			t.Fatal("memory of Go was taken for a mapping")
		}
		b[0]++ // still writable
	}
	own, err := mmap(-1, 0, size, 3, 0x22)
	must(t, err)
	defer munmap(own)
	if f := (&feed{entry: e}); f.give(own) {
		t.Error("a mapping that wazero has not made was replaced")
	}
}

// TestFeedIsTheWholeEntryHoweverItIsRead.
func TestFeedIsTheWholeEntryHoweverItIsRead(t *testing.T) {
	t.Parallel()
	module, entry := small(t)
	code := compile(t, module)
	want := string(code.Prefix) + string(code.Code) + string(code.Suffix[:tailSize])
	for _, step := range []int{1, 7, 8, 100, 1 << 20} {
		e, err := OpenEntry(file(t, entry), true)
		must(t, err)
		f := &feed{entry: e}
		var got []byte
		b := make([]byte, step)
		for {
			n, err := f.Read(b)
			got = append(got, b[:n]...)
			if err != nil {
				break
			}
		}
		if string(got) != want || !f.done() {
			t.Errorf("in steps of %d: %d bytes of %d", step, len(got), len(want))
		}
		e.Close()
	}
}
