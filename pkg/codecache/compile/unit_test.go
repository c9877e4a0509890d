package compile

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/entry"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/compilejob"
)

func TestDefaults(t *testing.T) {
	t.Parallel()
	c := New(Config{}).config
	if c.Memory < 64<<20 || c.Memory > 4<<30 || c.Timeout != 10*time.Minute || c.Parallel < 1 || c.Parallel > 4 {
		t.Errorf("%+v", c)
	}
	c = New(Config{Memory: 5 << 30, Timeout: time.Second, Parallel: 9}).config
	if c.Memory != 5<<30 || c.Timeout != time.Second || c.Parallel != 9 {
		t.Errorf("%+v", c)
	}
}

func TestTwoWorkersOnlyOnAnIdleNode(t *testing.T) {
	t.Parallel()
	for loadavg, want := range map[string]map[int]int{
		"0.00 0.00 0.00 1/80 1234\n":   {1: 1, 2: 2, 8: 2},
		"9.00 9.00 9.00 1/80 1234\n":   {2: 2}, // it was busy
		"0.40 0.01 0.05 7/80 1234\n":   {2: 2}, // for a moment
		"0.60 0.01 0.05 2/80 1234\n":   {2: 1, 3: 2},
		"9.00 0.01 0.05 8/80 1234\n":   {8: 1, 9: 2},
		"99.9 0.01 0.05 999/999 123\n": {101: 1, 102: 2},
		"":                             {8: 1},
		"garbage":                      {8: 1},
	} {
		for cpus, workers := range want {
			if got := workersFor(loadavg, cpus); got != workers {
				t.Errorf("%q on %d CPUs: %d workers, want %d", loadavg, cpus, got, workers)
			}
		}
	}
	if n := workers(); n != 1 && n != 2 {
		t.Errorf("%d workers", n)
	}
}

func TestUsersOfANamespaceAreRecognized(t *testing.T) {
	t.Parallel()
	for uidMap, want := range map[string]bool{
		"         0          0 4294967295\n":                                   true,
		"         0       1000          1\n":                                   false,
		"         0          0      65536\n":                                   false,
		"         0          0          1\n         1     100000      65536\n": false,
		"         0          0 4294967295\n         0          0 4294967295\n": false,
		"": false,
	} {
		if got := allUsers(uidMap); got != want {
			t.Errorf("%q: %t", uidMap, got)
		}
	}
}

func TestBoundOfCode(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ module, memory, want int64 }{
		{0, 4 << 30, 64 << 20},
		{1 << 20, 4 << 30, 80 << 20},
		{512 << 20, 4 << 30, 2 << 30},  // no more than half of the memory
		{512 << 20, 64 << 30, 4 << 30}, // no more than an entry
	} {
		if got := mostCode(tc.module, tc.memory); got != tc.want {
			t.Errorf("%+v: %d", tc, got)
		}
	}
}

func TestArgumentCanBePassed(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"/app.wasm": "/app.wasm", "a\x00b": "a", "": "", strings.Repeat("a", 1000): strings.Repeat("a", 200),
	} {
		if got := argument(name); got != want {
			t.Errorf("%q: %q", name, got)
		}
	}
}

func TestWarningIsSaidOnce(t *testing.T) {
	t.Parallel()
	(&once{}).warn("without a log", os.ErrNotExist)
	var out bytes.Buffer
	o := &once{log: logTo(&out)}
	o.warn("one thing", os.ErrNotExist)
	o.warn("one thing", os.ErrExist)
	o.warn("another", os.ErrExist)
	if n := strings.Count(out.String(), "level=warning"); n != 2 {
		t.Errorf("%d lines: %s", n, out.String())
	}
}

// FuzzReceive plays a compiler.
func FuzzReceive(f *testing.F) {
	valid := func(r compilejob.Result, parts ...[]byte) []byte {
		var b bytes.Buffer
		must(f, compilejob.Write(&b, r, parts...))
		return b.Bytes()
	}
	compiled := compilejob.Result{Kind: compilejob.Compiled, Key: compilejob.Key{1}, Prefix: 3, Code: 5, Suffix: 2}
	f.Add(valid(compiled, []byte("abcdefghij")))
	f.Add(valid(compiled, []byte("abcdefghijk")))
	f.Add(valid(compiled, []byte("abcdefghi")))
	f.Add(valid(compilejob.Result{Kind: compilejob.Compiled}))
	f.Add(valid(compilejob.Result{Kind: compilejob.Refused, Message: "no"}))
	f.Add(valid(compilejob.Result{Kind: compilejob.Refused, Message: "no"}, []byte("a")))
	f.Fuzz(func(t *testing.T, data []byte) {
		task := task{Compiler: &Compiler{config: Config{Memory: 1 << 20}}}
		task.header = entry.Header{Module: entry.Digest{7}, ModuleSize: 100, Engine: entry.Current()}
		result, file, err := task.receive(bytes.NewReader(data))
		if err != nil {
			if file != nil {
				t.Fatalf("%+v: a file and %v", result, err)
			}
			return
		}
		line, code, _ := bytes.Cut(data, []byte("\n"))
		var said compilejob.Result
		must(t, json.Unmarshal(line, &said))
		if (file != nil) != (result.Kind == compilejob.Compiled) || result.Prefix+result.Code+result.Suffix != int64(len(code)) {
			t.Fatalf("%+v, file %v, %d bytes", result, file, len(code))
		}
		if file == nil {
			return
		}
		defer file.Close()
		h, err := entry.Verify(file, entry.Digest{7}, entry.Current())
		must(t, err)
		if h.EngineKey != said.Key || h.PrefixSize != said.Prefix || h.CodeSize != said.Code || h.SuffixSize != said.Suffix || h.ModuleSize != 100 {
			t.Fatalf("%+v of %s", h, line)
		}
		got := make([]byte, h.CodeSize)
		if _, err := file.ReadAt(got, h.CodeOffset); err != nil || !bytes.Equal(got, code[h.PrefixSize:h.PrefixSize+h.CodeSize]) {
			t.Fatalf("code %q (%v) of %q", got, err, code)
		}
		if _, err := file.WriteAt([]byte("x"), 0); err == nil {
			t.Fatal("the entry can be written to")
		}
	})
}
