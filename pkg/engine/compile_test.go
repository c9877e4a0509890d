package engine

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/entry"
)

// TestCompileRefusesInOneSentence: what users get to read from the compiler. A
// runner says the same, see its tests.
func TestCompileRefusesInOneSentence(t *testing.T) {
	t.Parallel()
	hello := strings.Join(parts, "")
	for name, c := range map[string]struct{ module, message string }{
		"empty":           {"", "is damaged: it does not begin like a WebAssembly module"},
		"text":            {"hello", "is damaged: it does not begin like"},
		"truncated":       {hello[:len(hello)-1], "is damaged: it ends in the middle of the data section"},
		"missing import":  {magic + section(1, "\x01\x60\x00\x00") + section(2, "\x01\x03env\x01f\x00\x00"), `imports "env"."f" (function), which WASI preview 1 does not provide`},
		"unknown section": {hello + section(0x7f, ""), "is damaged"},
		"invalid code":    {strings.Replace(hello, "\x41\x05\x0b", "\x6a\x05\x0b", 1), "is damaged, or uses a feature that this runtime does not support"},
		"exceptions":      {magic + section(13, "\x01\x00\x00"), "uses exceptions, which this runtime does not support; build it without"},
		"exception code":  {strings.Replace(hello, "\x04\x00\x41\x05\x0b", "\x04\x00\x08\x05\x0b", 1), `uses the feature "exception-handling", which this runtime does not support`},
		"target features": {strings.Replace(hello, "\x41\x05\x0b", "\xfd\x05\x0b", 1) + custom("target_features", "\x01+\x0crelaxed-simd"), "uses relaxed SIMD"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, err := Compile(t.Context(), []byte(c.module), "/guest.wasm", 1)
			if code != nil || err == nil || !strings.HasPrefix(err.Error(), `module "/guest.wasm" `) || !strings.Contains(err.Error(), c.message) {
				t.Errorf("%v", err)
			}
			if errors.Is(err, ErrUnsupported) || errors.Is(err, ErrInternals) {
				t.Errorf("%v is not about the module", err)
			}
		})
	}
}

// TestCodeDoesNotDependOnWorkers: what is cached is the same however busy the
// node was.
func TestCodeDoesNotDependOnWorkers(t *testing.T) {
	t.Parallel()
	module := wat(t, "(module "+guests["many functions"]+")")
	one := compile(t, module)
	for _, workers := range []int{0, 2, 7} {
		code, err := Compile(t.Context(), module, "/guest.wasm", workers)
		must(t, err)
		if code.Key != one.Key || !bytes.Equal(code.Prefix, one.Prefix) || !bytes.Equal(code.Code, one.Code) || !bytes.Equal(code.Suffix, one.Suffix) {
			t.Errorf("%d workers make other code than one", workers)
		}
	}
}

func TestCompilerWorksWhereTheCacheSaysSo(t *testing.T) {
	t.Parallel()
	if CompilerWorks() && !entry.Supported() {
		t.Error("the compiler works, but nothing would be cached")
	}
}

// TestCodeIsTakenHoweverWazeroHandsItOut: as one buffer, which is not copied, or
// as a stream.
func TestCodeIsTakenHoweverWazeroHandsItOut(t *testing.T) {
	t.Parallel()
	want := bytes.Repeat([]byte("code"), 50000)
	for name, r := range map[string]io.Reader{"buffer": bytes.NewReader(want), "stream": io.MultiReader(bytes.NewReader(want[:7]), bytes.NewReader(want[7:]))} {
		e := &exchange{}
		must(t, e.Add([32]byte{}, r))
		if !bytes.Equal(e.compiled, want) {
			t.Errorf("%s: %d bytes", name, len(e.compiled))
		}
	}
	if err := (&exchange{}).Add([32]byte{}, io.MultiReader(strings.NewReader("x"), failing{})); err == nil {
		t.Error("an error is lost")
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("no") }

func TestFileIsReadAsAWhole(t *testing.T) {
	t.Parallel()
	want := bytes.Repeat([]byte("module"), 1<<20)
	data, err := ReadFile(file(t, want), "/guest.wasm")
	must(t, err)
	if !bytes.Equal(data, want) {
		t.Error("something else was read")
	}
	Free(data)
	dir, err := os.Open(t.TempDir())
	must(t, err)
	defer dir.Close()
	sparse := filepath.Join(t.TempDir(), "sparse")
	must(t, os.WriteFile(sparse, nil, 0o600))
	must(t, os.Truncate(sparse, MaxModuleSize+1))
	large, err := os.Open(sparse)
	must(t, err)
	defer large.Close()
	for f, message := range map[*os.File]string{dir: "is not a regular file", large: "modules of up to", file(t, nil): "is empty"} {
		if _, err := ReadFile(f, "/guest.wasm"); err == nil || !strings.Contains(err.Error(), message) {
			t.Errorf("%v, want %q", err, message)
		}
	}
}
