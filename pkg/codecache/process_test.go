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
	"sync"
	"testing"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/entry"
)

// answer is what a helper process says about its Get.
type answer struct {
	Outcome Outcome
	Refused string
	Error   string
	Wait    time.Duration
}

// helperCompiles is how long a helper's compiler takes.
const helperCompiles = 300 * time.Millisecond

// helper is the main function of a process that stands for another shim. It
// works on the directory and the module in its environment, and counts compiles by
// a line each in a file.
func helper(role string) int {
	if role == "writer" {
		return writeAndWait()
	}
	f, err := os.Open(os.Getenv("MODULE"))
	if err != nil {
		return 1
	}
	c := New(Config{Dir: os.Getenv("DIR"), Compile: func(ctx context.Context, m Module, d entry.Digest) (*os.File, error) {
		count, err := os.OpenFile(os.Getenv("COUNT"), os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return nil, err
		}
		fmt.Fprintln(count, os.Getpid())
		count.Close()
		time.Sleep(helperCompiles)
		switch role {
		case "refuse":
			return nil, &Refused{Reason: "refused by " + fmt.Sprint(os.Getpid())}
		case "hang":
			select {}
		}
		return compileModule(ctx, m, d)
	}})
	fmt.Println("ready")
	_, _ = io.ReadAll(os.Stdin) // all begin when the test closes it
	var a answer
	code, err := c.Get(context.Background(), Module{File: f, Name: "/app.wasm"})
	var refused *Refused
	switch {
	case errors.As(err, &refused):
		a.Refused = refused.Reason
	case err != nil:
		a.Error = err.Error()
	default:
		a.Outcome, a.Wait = code.Outcome, code.Wait
		if _, err := entry.Verify(code.File, code.Digest, entry.Current()); err != nil {
			a.Error = err.Error()
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(a); err != nil {
		return 1
	}
	return 0
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

// runHelpers lets n processes Get the same module at the same time.
func (f *fixture) runHelpers(t *testing.T, n int, role, module, count string) []answer {
	t.Helper()
	processes := make([]*process, n)
	for i := range processes {
		processes[i] = f.startHelper(t, role, module, count)
	}
	answers := make([]answer, n)
	var wg sync.WaitGroup
	for i, p := range processes {
		wg.Go(func() {
			p.begin.Close()
			var err error
			if answers[i], err = p.answer(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	return answers
}

func TestTenProcessesCompileOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := moduleOf(t, "module")
	path, count := counter(t)
	outcomes := map[Outcome]int{}
	for _, a := range f.runHelpers(t, 10, "get", m.File.Name(), path) {
		outcomes[a.Outcome]++
		if a.Error != "" {
			t.Error(a.Error)
		}
	}
	if count() != 1 || outcomes[Compiled] != 1 || outcomes[Waited]+outcomes[Hit] != 9 || outcomes[Waited] == 0 {
		t.Errorf("%d compiles, outcomes %v", count(), outcomes)
	}
	f.assertTidy(t, 1)
	f.expect(t, m, Hit, 0)
}

func TestRefusalReachesProcessesThatWait(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := moduleOf(t, "module")
	path, count := counter(t)
	first := f.startHelper(t, "refuse", m.File.Name(), path)
	others := make([]*process, 5)
	for i := range others {
		others[i] = f.startHelper(t, "refuse", m.File.Name(), path)
	}
	first.begin.Close()
	eventually(t, "the first compiles", func() bool { return count() == 1 })
	for _, p := range others {
		p.begin.Close()
	}
	for _, p := range append(others, first) {
		a, err := p.answer()
		check(t, err)
		if want := fmt.Sprintf("refused by %d", first.cmd.Process.Pid); a.Refused != want {
			t.Errorf("got %+v, not %q", a, want)
		}
	}
	if count() != 1 {
		t.Errorf("%d compiles", count())
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
	select {
	case g := <-done:
		t.Fatalf("did not wait: %+v", g)
	case <-time.After(100 * time.Millisecond):
	}
	check(t, first.cmd.Process.Kill())
	g := <-done
	check(t, g.err)
	defer g.code.Close()
	if g.code.Outcome != Compiled || g.code.Wait < 100*time.Millisecond {
		t.Errorf("%s after %v", g.code.Outcome, g.code.Wait)
	}
	f.assertTidy(t, 1)
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
