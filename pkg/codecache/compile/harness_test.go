package compile

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/log"
	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/entry"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/internal/testprogram"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/reaper"
)

// patience for what takes milliseconds.
const patience = 20 * time.Second

// Programs that TestMain builds.
var realCompiler, hostileCompiler string

func TestMain(m *testing.M) {
	if deed := os.Getenv(shimEnv); deed != "" {
		shim(deed)
	}
	os.Exit(testprogram.Main(m, func(dir string) {
		realCompiler, hostileCompiler = filepath.Join(dir, "compiler"), filepath.Join(dir, "hostile")
	}, "./testdata/compiler", "./testdata/hostile"))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// subject is a Compiler under test, and what it has started.
type subject struct {
	*Compiler
	t testing.TB

	mu         sync.Mutex
	pids       []int
	namespaces []*os.File // of processes; open, or others would get their numbers
}

var subjects atomic.Int32

// newSubject runs the program at path with cgroups below a parent of its own. When
// the test ends, nothing of it may be left.
func newSubject(t testing.TB, path string, c Config) *subject {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("run this test as root: the shim is")
	}
	s := &subject{t: t}
	if c.Log == nil {
		c.Log = logTo(t.Output())
	}
	s.Compiler = New(c)
	inner := s.config.Start
	s.config.Start = func(cmd *exec.Cmd) (<-chan reaper.Exit, error) {
		exits, err := inner(cmd)
		if err == nil {
			s.note(cmd.Process.Pid)
		}
		return exits, err
	}
	s.binary = func() (*os.File, error) { return os.Open(path) }
	s.cgroup = fmt.Sprintf("compile-test-%d-%d", os.Getpid(), subjects.Add(1))
	t.Cleanup(s.checkNothingIsLeft)
	return s
}

// hostile runs the compiler that does a deed.
func hostile(t testing.TB, deed string, c Config) *subject {
	t.Helper()
	s := newSubject(t, hostileCompiler, c)
	s.environ = []string{"HOSTILE_DEED=" + deed}
	return s
}

func logTo(w io.Writer) *log.Entry {
	l := logrus.New()
	l.SetLevel(logrus.DebugLevel)
	l.SetOutput(w)
	return logrus.NewEntry(l)
}

func (s *subject) note(pid int) {
	ns, _ := os.Open(proc(pid, "ns/pid")) // nil if it has ended already
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pids, s.namespaces = append(s.pids, pid), append(s.namespaces, ns)
}

// pid is that of the only compiler so far, once there is one.
func (s *subject) pid() int {
	s.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		pids := s.pids
		s.mu.Unlock()
		if len(pids) > 0 {
			return pids[0]
		}
		if time.Now().After(deadline) {
			s.t.Fatal("no compiler has been started")
		}
	}
}

// checkNothingIsLeft looks for processes and cgroups.
func (s *subject) checkNothingIsLeft() {
	s.mu.Lock()
	defer s.mu.Unlock()
	links, err := filepath.Glob("/proc/[0-9]*/ns/pid")
	must(s.t, err)
	for i, pid := range s.pids {
		if err := unix.Kill(pid, 0); !errors.Is(err, unix.ESRCH) {
			s.t.Errorf("compiler %d is still there", pid)
		}
		if s.namespaces[i] == nil {
			continue
		}
		ns, err := s.namespaces[i].Stat()
		must(s.t, err)
		for _, link := range links {
			if other, err := os.Stat(link); err == nil && os.SameFile(ns, other) {
				s.t.Errorf("%s is a process that compiler %d has left", link, pid)
			}
		}
		s.namespaces[i].Close()
	}
	s.pids, s.namespaces = nil, nil
	for _, pattern := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"} {
		if left, _ := filepath.Glob(pattern + s.cgroup); len(left) > 0 {
			s.t.Errorf("cgroups are left: %s", left)
		}
	}
}

// compile opens and hashes the file at path and compiles it within patience.
func (s *subject) compile(path string) (*os.File, entry.Digest, error) {
	s.t.Helper()
	m, d := module(s.t, path)
	f, err := s.Compile(context.Background(), m, d)
	if f != nil {
		s.t.Cleanup(func() { f.Close() })
	}
	if (f == nil) == (err == nil) {
		s.t.Errorf("file %v, error %v", f, err)
	}
	return f, d, err
}

func module(t testing.TB, path string) (codecache.Module, entry.Digest) {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	f, err := os.Open(path)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return codecache.Module{File: f, Name: "/" + filepath.Base(path)}, sha256.Sum256(data)
}

// anyModule is for compilers that do not care.
func anyModule(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "app.wasm")
	must(t, os.WriteFile(path, []byte("\x00asm\x01\x00\x00\x00"), 0o600))
	return path
}

// example builds one of the examples.
func example(t testing.TB, name string) string {
	t.Helper()
	out := t.TempDir()
	if text, err := exec.Command("../../../examples/build.sh", out, name).CombinedOutput(); err != nil {
		t.Fatalf("build the example: %v\n%s", err, text)
	}
	return filepath.Join(out, name, "hello.wasm")
}

// status reads fields of /proc/<pid>/task/<tid>/status.
func status(t testing.TB, file string) map[string]string {
	t.Helper()
	data, err := os.ReadFile(file)
	must(t, err)
	fields := make(map[string]string)
	for line := range strings.Lines(string(data)) {
		key, value, _ := strings.Cut(line, ":")
		fields[key] = strings.Join(strings.Fields(value), " ")
	}
	return fields
}

func proc(pid int, name string) string { return "/proc/" + strconv.Itoa(pid) + "/" + name }

// eventually waits for a condition.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

var _ codecache.Compiler = (*Compiler)(nil).Compile
