package codecache

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/entry"
)

// answer is what a helper process says about its Get.
type answer struct {
	Outcome Outcome
	Refused string
	Error   string
}

// helper is the main function of a process that stands for another shim. It
// works on the directory and the module in its environment. Its compiler counts by
// a line in a file, and ends when the test creates another one.
func helper(role string) int {
	if role == "writer" {
		return writeAndWait()
	}
	f, err := os.Open(os.Getenv("MODULE"))
	if err != nil {
		return 1
	}
	c := New(Config{Dir: os.Getenv("DIR"), Compile: func(ctx context.Context, m Module, d entry.Digest) (*os.File, error) {
		if err := waitLikeACompiler(role, os.Getenv("COUNT")); err != nil {
			return nil, err
		}
		return compileModule(ctx, m, d)
	}})
	fmt.Println("ready")
	_, _ = io.ReadAll(os.Stdin) // the test closes it
	var a answer
	code, err := c.Get(context.Background(), Module{File: f, Name: "/app.wasm"})
	var refused *Refused
	switch {
	case errors.As(err, &refused):
		a.Refused = refused.Reason
	case err != nil:
		a.Error = err.Error()
	default:
		a.Outcome = code.Outcome
		if _, err := entry.Verify(code.File, code.Digest, entry.Current()); err != nil {
			a.Error = err.Error()
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(a); err != nil {
		return 1
	}
	return 0
}

func waitLikeACompiler(role, count string) error {
	f, err := os.OpenFile(count, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	fmt.Fprintln(f, os.Getpid())
	f.Close()
	for range 10000 {
		lines, err := os.ReadFile(count)
		if err != nil {
			return err
		}
		_, err = os.Stat(count + ".go")
		first := strings.HasPrefix(string(lines), fmt.Sprintln(os.Getpid()))
		switch {
		case err != nil || role == "hang": // not yet
		case role == "refuse":
			return &Refused{Reason: fmt.Sprint("refused by ", os.Getpid())}
		case role != "together" || first || strings.Count(string(lines), "\n") == 5:
			return nil
		}
		time.Sleep(2 * time.Millisecond)
	}
	return errors.New("timeout")
}

// process is a running helper.
type process struct {
	cmd   *exec.Cmd
	begin io.WriteCloser
	out   *bufio.Scanner
}

func (f *fixture) startHelper(t *testing.T, role, module, count string) *process {
	t.Helper()
	p := &process{cmd: exec.Command("/proc/self/exe")}
	p.cmd.Env = []string{"CODECACHE_TEST=" + role, "DIR=" + f.dir, "MODULE=" + module, "COUNT=" + count}
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	check(t, err)
	p.begin, err = p.cmd.StdinPipe()
	check(t, err)
	check(t, p.cmd.Start())
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	})
	p.out = bufio.NewScanner(out)
	if !p.out.Scan() || p.out.Text() != "ready" {
		t.Fatalf("the helper says %q", p.out.Text())
	}
	return p
}

func (p *process) answer() (a answer, err error) {
	if !p.out.Scan() {
		return a, errors.New("the helper ended without an answer")
	}
	err = json.Unmarshal(p.out.Bytes(), &a)
	return a, errors.Join(err, p.cmd.Wait())
}

func counter(t *testing.T) (path string, count func() int) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "count")
	check(t, os.WriteFile(path, nil, 0o600))
	return path, func() int {
		data, err := os.ReadFile(path)
		check(t, err)
		return strings.Count(string(data), "\n")
	}
}

// runHelpers lets n processes Get the same module: one compiles while the others
// wait for it. The answer of the one that compiles is the first.
func (f *fixture) runHelpers(t *testing.T, n int, role string, m Module) (answers []answer, first int, compiled int) {
	t.Helper()
	path, count := counter(t)
	var processes []*process
	for range n {
		processes = append(processes, f.startHelper(t, role, m.File.Name(), path))
	}
	processes[0].begin.Close()
	eventually(t, "one compiles", func() bool { return count() == 1 })
	for _, p := range processes[1:] {
		p.begin.Close()
	}
	eventually(t, "the others wait", func() bool { return f.waitForLocks(t) == n-1 })
	check(t, os.WriteFile(path+".go", nil, 0o600))
	for _, p := range processes {
		a, err := p.answer()
		check(t, err)
		if a.Error != "" {
			t.Error(a.Error)
		}
		answers = append(answers, a)
	}
	return answers, processes[0].cmd.Process.Pid, count()
}

func TestTenProcessesCompileOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := moduleOf(t, "module")
	answers, _, compiled := f.runHelpers(t, 10, "get", m)
	for i, a := range answers {
		if (a.Outcome == Compiled) != (i == 0) || (a.Outcome == Waited) != (i > 0) {
			t.Errorf("%d: %s", i, a.Outcome)
		}
	}
	if compiled != 1 {
		t.Errorf("%d compiles", compiled)
	}
	f.assertTidy(t, 1)
	f.expect(t, m, Hit, 0)
}

func TestRefusalReachesProcessesThatWait(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := moduleOf(t, "module")
	answers, first, compiled := f.runHelpers(t, 5, "refuse", m)
	for _, a := range answers {
		if want := fmt.Sprint("refused by ", first); a.Refused != want {
			t.Errorf("got %+v, not %q", a, want)
		}
	}
	if compiled != 1 {
		t.Errorf("%d compiles", compiled)
	}
	// Nobody remembers it for later.
	f.expect(t, m, Compiled, 1)
	f.assertTidy(t, 1)
}

func TestNextProcessCompilesWhenOneIsKilled(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := moduleOf(t, "module")
	path, count := counter(t)
	first := f.startHelper(t, "hang", m.File.Name(), path)
	first.begin.Close()
	eventually(t, "it compiles", func() bool { return count() == 1 })
	type got struct {
		code *Code
		err  error
	}
	done := make(chan got)
	go func() {
		code, err := f.Get(t.Context(), m)
		done <- got{code, err}
	}()
	eventually(t, "we wait", func() bool { return f.waitForLocks(t) == 1 })
	check(t, first.cmd.Process.Kill())
	g := <-done
	check(t, g.err)
	defer g.code.Close()
	if g.code.Outcome != Compiled {
		t.Errorf("outcome %s", g.code.Outcome)
	}
	f.assertTidy(t, 1)
}

// waitForLocks counts the processes that wait for a lock of this cache.
func (f *fixture) waitForLocks(t *testing.T) (n int) {
	t.Helper()
	list, err := os.ReadDir(filepath.Join(f.dir, "locks"))
	check(t, err)
	data, err := os.ReadFile("/proc/locks")
	check(t, err)
	for _, e := range list {
		info, err := e.Info()
		check(t, err)
		inode := fmt.Sprintf(":%d 0 EOF", info.Sys().(*syscall.Stat_t).Ino)
		for line := range strings.Lines(string(data)) {
			if strings.Contains(line, "-> FLOCK") && strings.Contains(line, inode) {
				n++
			}
		}
	}
	return n
}

// writeAndWait begins to write an entry.
func writeAndWait() int {
	d, err := openDir(os.Getenv("DIR"), true)
	if err != nil {
		return 1
	}
	_, w, f, err := d.createTemporary()
	if err != nil {
		return 1
	}
	defer f.Close()
	if _, err := w.WriteString("the beginning of an entry"); err != nil {
		return 1
	}
	fmt.Println("ready")
	_, _ = io.ReadAll(os.Stdin)
	return 0
}

func TestFilesOfKilledWritersAreRemoved(t *testing.T) {
	t.Parallel()
	for name, clean := range map[string]func(*testing.T, *fixture){
		"by the next compile": func(t *testing.T, f *fixture) { f.mustGet(t, moduleOf(t, t.Name()+time.Now().String())).Close() },
		"by prune": func(t *testing.T, f *fixture) {
			_, err := f.Prune(1 << 30)
			check(t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.mustGet(t, moduleOf(t, "module")).Close()
			writer := f.startHelper(t, "writer", "", "")
			clean(t, f)
			if n := f.temporaries(t); n != 1 {
				t.Fatalf("%d temporary files while one is being written", n)
			}
			check(t, writer.cmd.Process.Kill())
			_ = writer.cmd.Wait()
			clean(t, f)
			if n := f.temporaries(t); n != 0 {
				t.Errorf("%d temporary files of a killed process", n)
			}
		})
	}
}

func (f *fixture) temporaries(t *testing.T) (n int) {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(f.dir, "entries", temporary+"*"))
	check(t, err)
	return len(list)
}
