package compiled

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/api/types/runtimeoptions/v1"
	"github.com/containerd/containerd/v2/pkg/oci"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

func options(toml string) *runtimeoptions.Options {
	return &runtimeoptions.Options{ConfigBody: []byte(toml)}
}

// TestModulesThatAskTooMuchOfTheCompiler: Create says which bound they met and
// which option moves it; another container compiles the module with more.
func TestModulesThatAskTooMuchOfTheCompiler(t *testing.T) {
	c := testenv.StartContainerd(t, testenv.Newest)
	img := module("python", cpython(t))
	c.Import(t, img)
	args := []string{"/python.wasm", "-c", "print(1)"}
	for name, tc := range map[string]struct {
		options string
		want    []string
	}{
		"memory": {`compile_memory = "100MiB"`, []string{`"/python.wasm"`, "100MiB", "compile_memory"}},
		"time":   {`compile_timeout = "300ms"`, []string{`"/python.wasm"`, "300ms", "compile_timeout"}},
	} {
		_, err := c.Create(t, testenv.Spec{ID: name, Image: img, Args: args, RuntimeOptions: options(tc.options)})
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		for _, want := range tc.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q does not contain %q", name, err, want)
			}
		}
		t.Log(err)
	}
	if left := entries(t, c.CacheDir()); len(left) > 0 {
		t.Errorf("the cache holds %q", left)
	}
	k := c.Run(t, testenv.Spec{ID: "c", Image: img, Args: args})
	if status := k.Finish(t); status != 0 || k.Stdout.String() != "1\n" {
		t.Errorf("status %d, output %q", status, k.Stdout.String())
	}
}

// TestLargeModule compiles and runs one of 75 MB.
func TestLargeModule(t *testing.T) {
	c := testenv.StartContainerd(t, testenv.Newest)
	img := module("large", large(75<<20))
	c.Import(t, img)
	for _, outcome := range []string{"compiled", "hit"} {
		k := c.Run(t, testenv.Spec{
			ID: outcome, Image: img,
			Opts: []oci.SpecOpts{oci.WithMemoryLimit(512 << 20)},
		})
		if status := k.Finish(t); status != 0 {
			t.Errorf("status %d, errors %q", status, k.Stderr.String())
		}
		s := started(t, c, outcome)
		t.Log(s)
		if s["outcome"] != outcome {
			t.Errorf("outcome %v, want %s", s, outcome)
		}
	}
}

// large is a module whose _start does nothing, with functions up to a size in
// bytes.
func large(size int) []byte {
	// (func (param i32 i32) (result i32)): a chain of arithmetic.
	body := []byte{0, 0x20, 0} // no locals, local.get 0
	for i := byte(0); len(body) < 2000; i++ {
		// local.get 1, i32.add, i32.const i, i32.mul, local.get 0, i32.xor
		body = append(body, 0x20, 1, 0x6a, 0x41, i&0x3f, 0x6c, 0x20, 0, 0x73)
	}
	body = append(body, 0x0b)
	chain := append(binary.AppendUvarint(nil, uint64(len(body))), body...)
	nothing := []byte{2, 0, 0x0b}
	count := size / len(chain)
	section := func(id byte, parts ...[]byte) []byte {
		content := bytes.Join(parts, nil)
		return append(binary.AppendUvarint([]byte{id}, uint64(len(content))), content...)
	}
	number := func(n int) []byte { return binary.AppendUvarint(nil, uint64(n)) }
	const start = "_start"
	return bytes.Join([][]byte{
		[]byte("\x00asm\x01\x00\x00\x00"),
		section(1, []byte{2, 0x60, 0, 0, 0x60, 2, 0x7f, 0x7f, 1, 0x7f}),
		section(3, number(count+1), []byte{0}, bytes.Repeat([]byte{1}, count)),
		section(7, []byte{1, byte(len(start))}, []byte(start), []byte{0, 0}),
		section(10, number(count+1), nothing, bytes.Repeat(chain, count)),
	}, nil)
}

// TestEvictionSparesWhatIsInUse: with room for one entry, that of a running
// container stays and another one's goes as soon as it is not used any more.
func TestEvictionSparesWhatIsInUse(t *testing.T) {
	var guests testenv.Guests
	c := testenv.StartContainerd(t, testenv.Newest)
	small := options(`cache_size = "1MiB"`)
	idle := module("idle", guests.Build(t, "idle", testenv.Wasm)) // its code has several MiB
	c.Import(t, idle)
	hello := module("hello", testenv.Example(t, "hello-c"))
	c.Import(t, hello)
	first := c.Run(t, testenv.Spec{ID: "idle", Image: idle}) // with the default size
	large := entry(t, c.CacheDir())
	for _, id := range []string{"first", "second"} {
		k := c.Run(t, testenv.Spec{ID: id, Image: hello, RuntimeOptions: small})
		k.Finish(t)
		if _, err := os.Stat(large); err != nil {
			t.Fatalf("after %s: %v", id, err)
		}
	}
	again := c.Run(t, testenv.Spec{ID: "again", Image: idle})
	again.Stdout.WaitFor(t, "sleeping")
	if s := started(t, c, "again"); s["outcome"] != "hit" {
		t.Errorf("outcome %v", s)
	}
	for _, k := range []*testenv.Task{first, again} {
		k.Signal(t, syscall.SIGKILL)
		k.Finish(t)
	}
	multi := guests.Multi(t, testenv.Wasm)
	c.Import(t, multi)
	c.Run(t, testenv.Spec{ID: "multi", Image: multi, Args: []string{"/multi.wasm", "sleep"}, RuntimeOptions: small})
	if _, err := os.Stat(large); !os.IsNotExist(err) {
		t.Errorf("the entry that nobody uses and there is no room for: %v", err)
	}
}

// TestReplacedFileIsNotRunUnderAnothersDigest changes the module of a running
// container's volume: an exec runs what is there now.
func TestReplacedFileIsNotRunUnderAnothersDigest(t *testing.T) {
	var guests testenv.Guests
	c := testenv.StartContainerd(t, testenv.Newest)
	img := guests.Multi(t, testenv.Wasm)
	c.Import(t, img)
	dir := t.TempDir()
	path := filepath.Join(dir, "app.wasm")
	must(t, os.WriteFile(path, testenv.Example(t, "hello-c"), 0o644))
	k := c.Run(t, testenv.Spec{
		ID: "c", Image: img, Args: []string{"/multi.wasm", "sleep"},
		Opts: []oci.SpecOpts{mounted(dir, "/app")},
	})
	before, err := os.Stat(path)
	must(t, err)
	for i, example := range []string{"hello-c", "hello-wat", "hello-c", "hello-wat"} {
		data := testenv.Example(t, example)
		// In place, and as it looked before as far as a program can make it.
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
		must(t, err)
		_, err = f.Write(data)
		must(t, err)
		must(t, f.Close())
		must(t, os.Chtimes(path, before.ModTime(), before.ModTime()))
		want := strings.TrimSpace(read(t, filepath.Join(testenv.Root(), "examples", example, "expected")))
		r := k.Exec(t, fmt.Sprint("e", i), "/app/app.wasm")
		if strings.TrimSpace(r.Stdout) != want {
			t.Errorf("exec of %s: %+v, want %q", example, r, want)
		}
	}
}
