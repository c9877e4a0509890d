package compile

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/entry"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/engine"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/reaper"
)

type exit = reaper.Exit

func credential(user int) *syscall.Credential {
	return &syscall.Credential{Uid: uint32(user), Gid: uint32(user)}
}

// wat assembles a module in the text format.
func wat(t testing.TB, source string) string {
	t.Helper()
	dir := t.TempDir()
	in, out := filepath.Join(dir, "app.wat"), filepath.Join(dir, "app.wasm")
	must(t, os.WriteFile(in, []byte(source), 0o600))
	if text, err := exec.Command("wat2wasm", "-o", out, in).CombinedOutput(); err != nil {
		t.Fatalf("wat2wasm (of the package wabt): %v\n%s", err, text)
	}
	return out
}

// checkCode compares an entry with what the same engine makes in this process.
func checkCode(t *testing.T, f *os.File, d entry.Digest, path string) {
	t.Helper()
	h, err := entry.Verify(f, d, entry.Current())
	must(t, err)
	data, err := os.ReadFile(path)
	must(t, err)
	want, err := engine.Compile(t.Context(), data, path, 1)
	must(t, err)
	if h.ModuleSize != int64(len(data)) || h.EngineKey != want.Key {
		t.Errorf("%+v, want key %x", h, want.Key)
	}
	read := func(at, size int64) []byte {
		b := make([]byte, size)
		_, err := f.ReadAt(b, at)
		must(t, err)
		return b
	}
	// The prefix begins with wazero's version, which a test binary does not know,
	// and the suffix ends with the checksum of the prefix.
	const version, checksum = 6, 4
	offsets := want.Prefix[version+1+int(want.Prefix[version]):]
	tail := want.Suffix[:len(want.Suffix)-checksum]
	if !bytes.HasSuffix(read(h.PrefixOffset(), h.PrefixSize), offsets) || !bytes.Equal(read(h.CodeOffset, h.CodeSize), want.Code) ||
		h.SuffixSize != int64(len(want.Suffix)) || !bytes.HasPrefix(read(h.SuffixOffset(), h.SuffixSize), tail) {
		t.Error("the code differs")
	}
}

func TestCodeIsWhatTheEngineMakes(t *testing.T) {
	t.Parallel()
	for name, change := range kinds {
		for guest, path := range map[string]string{
			"empty": wat(t, `(module)`), // has no code at all
			"C":     example(t, "hello-c"),
			"Go":    example(t, "hello-go"),
		} {
			t.Run(guest+", "+name, func(t *testing.T) {
				t.Parallel()
				s := newSubject(t, realCompiler, Config{})
				change(s)
				f, d, err := s.compile(path)
				must(t, err)
				checkCode(t, f, d, path)
			})
		}
	}
}

func TestModuleThatCannotRunIsRefused(t *testing.T) {
	t.Parallel()
	damaged := filepath.Join(t.TempDir(), "app.wasm")
	must(t, os.WriteFile(damaged, []byte("\x00asm\x01\x00\x00\x00\x01\xff\xff\xff\xff\x7f"), 0o600))
	for text, path := range map[string]string{
		`module "/app.wasm" is damaged`: damaged,
		`module "/app.wasm" `:           wat(t, `(module (import "env" "missing" (func)))`),
	} {
		_, _, err := newSubject(t, realCompiler, Config{}).compile(path)
		var refused *codecache.Refused
		if !errors.As(err, &refused) || !strings.HasPrefix(refused.Reason, text) {
			t.Errorf("%T %v", err, err)
		}
	}
}

func TestModuleThatNeedsTooMuchNamesTheLimit(t *testing.T) {
	t.Parallel()
	path := example(t, "hello-go")
	// Some megabytes are enough to start, not to compile.
	s := newSubject(t, realCompiler, Config{Memory: 32 << 20})
	if _, _, err := s.compile(path); !errors.Is(err, ErrLimit) || err.Error() != `compiling module "/hello.wasm" takes more than 32MiB of memory: raise compile_memory` {
		t.Error(err)
	}
	// Without a cgroup the compiler itself is refused memory.
	s = newSubject(t, realCompiler, Config{Memory: 32 << 20})
	s.cgroup = "there is no/such place"
	if _, _, err := s.compile(path); !errors.Is(err, ErrLimit) || !strings.Contains(err.Error(), "compile_memory") {
		t.Error(err)
	}
}

func TestPsShowsTheModule(t *testing.T) {
	t.Parallel()
	path := example(t, "hello-go")
	s := newSubject(t, realCompiler, Config{})
	ended := make(chan error, 1)
	go func() {
		_, _, err := s.compile(path)
		ended <- err
	}()
	pid := s.pid()
	var cmdline, comm []byte
	eventually(t, "its name", func() bool {
		cmdline, _ = os.ReadFile(proc(pid, "cmdline"))
		comm, _ = os.ReadFile(proc(pid, "comm"))
		return strings.TrimRight(string(cmdline), "\x00") == "wazero-compiler\x00/hello.wasm" && string(comm) == "wazero-compiler\n"
	})
	must(t, <-ended)
}
