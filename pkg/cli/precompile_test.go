package cli

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// results decodes precompile --json.
func results(t testing.TB, stdout string) []result {
	t.Helper()
	var all []result
	for line := range strings.Lines(stdout) {
		var r result
		must(t, json.Unmarshal([]byte(line), &r))
		all = append(all, r)
	}
	return all
}

// list decodes cache ls --json.
func (n *node) list() []entryJSON {
	n.t.Helper()
	var all []entryJSON
	must(n.t, json.Unmarshal([]byte(n.succeed("cache", "ls", "--json")), &all))
	return all
}

func TestFilesAreCompiledOnce(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	a, b := n.write("a.wasm", module("a")), n.write("b", module("b"))
	for i, want := range []string{"compiled", "hit"} {
		out := results(t, n.succeed("precompile", "--json", "-j", "2", a, "b"))
		if len(out) != 2 {
			t.Fatalf("%+v", out)
		}
		for _, r := range out {
			if r.Outcome != want || r.Size != int64(len(module("a"))) || r.CodeSize == 0 || len(r.Digest) != 64 || r.Source != a && r.Source != "b" {
				t.Errorf("run %d: %+v", i, r)
			}
		}
	}
	if list := n.list(); len(list) != 2 || !list[0].Current || list[0].InUse || list[0].ModuleSize != int64(len(module("a"))) {
		t.Errorf("the cache has %+v", list)
	}
	// Another name of the same bytes.
	if out := n.succeed("precompile", n.write("c", module("a"))); !strings.HasPrefix(out, "hit ") || !strings.Contains(out, n.file("c")) {
		t.Errorf("got %q", out)
	}
	must(t, os.Remove(b))
}

func TestWhatFailsIsNamedAndTheOthersAreDone(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.write("good", module("good"))
	n.write("text", []byte("hello, world"))
	n.write("short", []byte("\x00asm"))
	n.write("component", []byte("\x00asm\x0d\x00\x01\x00"))
	n.write("broken", append(module("broken"), 1))
	must(t, os.Mkdir(n.file("dir"), 0o700))
	must(t, syscall.Mkfifo(n.file("fifo"), 0o600))
	o := n.run("precompile", "--address", n.file("c.sock"), "--json",
		"text", "short", "component", "broken", "./dir", "fifo", "./missing", "missing", "dir", "good")
	if o.status != 1 || o.stderr != "" {
		t.Errorf("%+v", o)
	}
	all := map[string]result{}
	for _, r := range results(t, o.stdout) {
		all[r.Source] = r
	}
	for name, want := range map[string]string{
		"text": "not a WebAssembly module", "short": "not a WebAssembly module", "component": "component", "broken": "broken",
		"./dir": "directory", "fifo": "not a regular file", "./missing": "no such file",
		"missing": "there is no socket " + n.file("c.sock"), "dir": "--address",
	} {
		if r := all[name]; r.Outcome != "failed" || !strings.Contains(r.Error, want) || strings.Contains(r.Error, "\n") {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if all["good"].Outcome != "compiled" || len(all) != 10 {
		t.Errorf("good: %+v of %d", all["good"], len(all))
	}
	// The same for people: what worked on stdout, what did not on stderr.
	o = n.fail(1, []string{program + ": text: it is not a WebAssembly module\n"}, "precompile", "text", "good")
	if !strings.HasPrefix(o.stdout, "hit ") || strings.Count(o.stdout+o.stderr, "\n") != 2 {
		t.Errorf("%+v", o)
	}
}

func TestCacheThatCannotTakeTheCodeIsAFailure(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.write("a", module("a"))
	n.write("cache", []byte("a file"))
	n.fail(1, []string{"a: it was compiled, but the cache could not take it", n.file("cache") + " is not a directory"}, "precompile", "a")
	n.fail(1, []string{"no_cache"}, "precompile", "--config", n.write("none.toml", []byte("no_cache = true\n")), "a")
}

func TestOptionsComeFromTheFileAndFromFlags(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.write("a", module("a"))
	n.write("o.toml", []byte("cache_dir = \""+n.file("other")+"\"\ncompile_parallel = 3\n"))
	n.succeed("precompile", "a", "--config", "o.toml")
	if got := n.succeed("cache", "ls", "--config", n.file("o.toml")); !strings.Contains(got, " ok") {
		t.Errorf("got %q", got)
	}
	n.succeed("precompile", "--config=o.toml", "--cache-dir", "third", "--", "a")
	for _, dir := range []string{"other", "third"} {
		if found, _ := filepath.Glob(n.file(dir + "/entries/*")); len(found) != 1 {
			t.Errorf("%s has %q", dir, found)
		}
	}
	if list := n.list(); len(list) != 0 {
		t.Errorf("the default has %+v", list)
	}
	n.fail(1, []string{"no such file", "missing.toml"}, "precompile", "--config", "missing.toml", "a")
	n.fail(1, []string{"cachedir", "cache_dir"}, "cache", "ls", "--config", n.write("bad.toml", []byte("cachedir = 1\n")))
}

func TestMistakesInTheCommandLineAreExplained(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	for line, word := range map[string]string{
		"precompile":                  "FILE or an IMAGE",
		"precompile --nope a":         "-nope",
		"precompile -j -1 a":          "-j -1",
		"precompile -j x a":           "-j",
		"cache rm":                    "digests are missing",
		"cache ls x":                  "no arguments",
		"cache verify x":              "no arguments",
		"cache prune --max-size much": "500MiB",
		"cache prune --max-size=-1":   "500MiB",
		"cache purge":                 `"cache purge"`,
	} {
		o := n.fail(2, []string{word, "--help"}, strings.Fields(line)...)
		if strings.Count(o.stderr, "\n") != 1 || o.stdout != "" {
			t.Errorf("%s: %+v", line, o)
		}
	}
	for _, line := range []string{"precompile --help", "precompile a -h", "cache", "cache --help", "cache help", "cache ls --help", "cache rm -help", "cache prune -h", "cache verify --help"} {
		if out := n.succeed(strings.Fields(line)...); !strings.Contains(out, program) {
			t.Errorf("%s: %q", line, out)
		}
	}
}

func TestOnlyRootMayUseTheCommands(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	for _, line := range []string{"precompile a", "cache ls"} {
		cmd := n.command(strings.Fields(line)...)
		copied := n.file("copy") // the original is where only root can go
		data, err := os.ReadFile(built)
		must(t, err)
		must(t, os.WriteFile(copied, data, 0o700))
		must(t, os.Chmod(copied, 0o755))
		for dir := n.dir; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
			must(t, os.Chmod(dir, 0o755))
		}
		cmd.Path = copied
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		if o := n.exec(cmd); o.status != 1 || !strings.Contains(o.stderr, "as root") {
			t.Errorf("%s: %+v", line, o)
		}
	}
}

// An interrupt ends the compiler and leaves nothing half-written.
func TestInterruptEndsTheCompiler(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.write("big", slowModule())
	cmd := n.command("precompile", "big")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	must(t, cmd.Start())
	for deadline := time.Now().Add(20 * time.Second); len(children(t, cmd.Process.Pid)) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no compiler was started")
		}
	}
	compilers := children(t, cmd.Process.Pid)
	begin := time.Now()
	must(t, cmd.Process.Signal(os.Interrupt))
	err := cmd.Wait()
	if err == nil || cmd.ProcessState.ExitCode() != 1 || !strings.Contains(stderr.String(), "interrupted") {
		t.Errorf("%v: %s", err, stderr.String())
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	for _, pid := range compilers {
		if _, err := os.Stat("/proc/" + pid); err == nil {
			t.Errorf("compiler %s is still there", pid)
		}
		for _, pattern := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"} {
			if left, _ := filepath.Glob(pattern + "containerd-shim-wazero/compile-" + pid); len(left) > 0 {
				t.Errorf("cgroups are left: %q", left)
			}
		}
	}
	if left, _ := filepath.Glob(n.file("cache/entries/*")); len(left) > 0 {
		t.Errorf("entries: %q", left)
	}
}

// children are the pids of a process's children, whichever thread started them.
func children(t testing.TB, pid int) (all []string) {
	t.Helper()
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, task := range tasks {
		data, _ := os.ReadFile(task)
		all = append(all, strings.Fields(string(data))...)
	}
	return all
}

// slowModule takes seconds to compile.
func slowModule() []byte {
	const functions, instructions = 20000, 200
	body := []byte{0} // no locals besides the parameter
	for range instructions {
		body = append(body, 0x20, 0, 0x41, 7, 0x6c, 0x21, 0) // local.get 0; i32.const 7; i32.mul; local.set 0
	}
	body = append(body, 0x0b)
	body = append(leb(len(body)), body...)
	m := []byte("\x00asm\x01\x00\x00\x00" + "\x01\x05\x01\x60\x01\x7f\x00") // a type: one i32
	m = append(m, section(3, functions, make([]byte, functions))...)
	return append(m, section(10, functions, bytes.Repeat(body, functions))...)
}

func section(id byte, count int, content []byte) []byte {
	content = append(leb(count), content...)
	return append(append([]byte{id}, leb(len(content))...), content...)
}

func leb(n int) []byte { return binary.AppendUvarint(nil, uint64(n)) }
