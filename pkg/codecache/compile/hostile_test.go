package compile

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/entry"
)

// What a compiler may do that was taken over before it went into its cage. Each
// ends in an error, soon, and with nothing left (see checkNothingIsLeft).
func TestHostileCompilerIsAnError(t *testing.T) {
	t.Parallel()
	soon := Config{Timeout: 500 * time.Millisecond}
	for deed, tc := range map[string]struct {
		config Config
		kind   error
		text   string
	}{
		"nothing":                           {Config{}, ErrBroken, "ended with status 0 before"},
		"garbage":                           {Config{}, ErrBroken, "no compiler sends"},
		"endless line":                      {Config{}, ErrBroken, "overlong"},
		"announces terabytes":               {Config{}, ErrBroken, "bytes"},
		"sends terabytes":                   {Config{}, ErrBroken, "more code than it announced"},
		"sends slowly":                      {soon, ErrLimit, "compile_timeout"},
		"sends less":                        {Config{}, ErrBroken, "ended with status 0 before"},
		"refuses and sends":                 {Config{}, ErrBroken, "more code than it announced"},
		"hangs":                             {soon, ErrLimit, "takes longer than 500ms: raise compile_timeout"},
		"spins":                             {soon, ErrLimit, "compile_timeout"},
		"closes and hangs":                  {soon, ErrLimit, "compile_timeout"},
		"forks":                             {soon, ErrLimit, "compile_timeout"},
		"allocates":                         {Config{Memory: 64 << 20}, ErrLimit, "takes more than 64MiB of memory: raise compile_memory"},
		"allocates elsewhere":               {Config{Memory: 64 << 20}, ErrLimit, "compile_memory"},
		"exits":                             {Config{}, ErrBroken, "ended with status 3 before it had handed over the code: [2Jfatal error: because  of this"},
		"exits after all":                   {Config{}, ErrBroken, "ended with status 3"},
		"kills itself":                      {soon, ErrLimit, "compile_timeout"},
		"shouts":                            {soon, ErrLimit, "compile_timeout"},
		"leaves a grandchild with the pipe": {Config{}, ErrBroken, "ended with status 0 before"},
	} {
		t.Run(deed, func(t *testing.T) {
			t.Parallel()
			begin := time.Now()
			_, _, err := hostile(t, deed, tc.config).compile(anyModule(t))
			if !errors.Is(err, tc.kind) || !strings.Contains(err.Error(), tc.text) || !strings.Contains(err.Error(), `"/app.wasm"`) {
				t.Errorf("%v", err)
			}
			if err != nil && strings.ContainsFunc(err.Error(), unicode.IsControl) {
				t.Errorf("%q", err)
			}
			if took := time.Since(begin); took > patience {
				t.Errorf("after %s", took)
			}
		})
	}
}

func TestHostileRefusalIsHarmless(t *testing.T) {
	t.Parallel()
	for _, deed := range []string{"escapes", "deaf"} {
		_, _, err := hostile(t, deed, Config{}).compile(anyModule(t))
		var refused *codecache.Refused
		if !errors.As(err, &refused) || len(refused.Reason) > 4<<10 || strings.ContainsFunc(refused.Reason, unicode.IsControl) || strings.ContainsRune(refused.Reason, '\u202e') {
			t.Errorf("%s: %q", deed, err)
		}
	}
}

// Code of another module is found by the key: see package engine. It stands under
// the digest of the module that the compiler was given, whatever it says.
func TestOtherModulesCodeHarmsOnlyItsOwnModule(t *testing.T) {
	t.Parallel()
	for _, deed := range []string{"another module's code", "leaves a grandchild"} {
		f, d, err := hostile(t, deed, Config{}).compile(anyModule(t))
		must(t, err)
		h, err := entry.Verify(f, d, entry.Current())
		must(t, err)
		if h.EngineKey != [32]byte{1, 2, 3} || h.CodeSize != 4 || h.ModuleSize != 8 {
			t.Errorf("%s: %+v", deed, h)
		}
	}
}

func TestKilledCompilerIsAnError(t *testing.T) {
	t.Parallel()
	s := hostile(t, "hangs", Config{})
	go func() { _ = unix.Kill(s.pid(), unix.SIGKILL) }()
	_, _, err := s.compile(anyModule(t))
	if !errors.Is(err, ErrBroken) || !strings.Contains(err.Error(), "was ended by signal 9 (SIGKILL)") {
		t.Error(err)
	}
}

func TestEndOfTheContextEndsTheCompiler(t *testing.T) {
	t.Parallel()
	s := hostile(t, "hangs", Config{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		s.pid()
		cancel()
	}()
	m, d := module(t, anyModule(t))
	begin := time.Now()
	if _, err := s.Compile(ctx, m, d); !errors.Is(err, context.Canceled) || time.Since(begin) > patience {
		t.Errorf("after %s: %v", time.Since(begin), err)
	}
}

// The real cage bounds memory also where there are no cgroups.
func TestMemoryIsBoundedWithoutCgroup(t *testing.T) {
	t.Parallel()
	s := hostile(t, "call allocate", Config{Memory: 256 << 20, Timeout: time.Minute})
	s.cgroup = "there is no/such place"
	if _, _, err := s.compile(anyModule(t)); !errors.Is(err, ErrLimit) || !strings.Contains(err.Error(), "compile_memory") {
		t.Error(err)
	}
}

// startShim starts a process that compiles with a hostile compiler, and returns
// what it says.
func startShim(t *testing.T, deed, cgroup string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0], hostileCompiler, cgroup, anyModule(t))
	cmd.Env = append(os.Environ(), shimEnv+"="+deed)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd, bufio.NewScanner(out)
}

func TestCompilerDiesWithItsShim(t *testing.T) {
	t.Parallel()
	for _, deed := range []string{"hangs", "call wait"} {
		parent := "compile-test-shim-" + strconv.Itoa(os.Getpid()) + "-" + deed[:4]
		cmd, says := startShim(t, deed, parent)
		if !says.Scan() {
			t.Fatal("it says nothing")
		}
		pid, err := strconv.Atoi(says.Text())
		must(t, err)
		t.Cleanup(func() {
			if t.Failed() {
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		})
		groups := func() []string {
			found, _ := filepath.Glob("/sys/fs/cgroup/*/" + parent + "/compile-*")
			more, _ := filepath.Glob("/sys/fs/cgroup/" + parent + "/compile-*")
			return append(found, more...)
		}
		eventually(t, "it is in its cgroup", func() bool {
			for _, dir := range groups() {
				data, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
				if strings.TrimSpace(string(data)) != strconv.Itoa(pid) {
					return false
				}
			}
			return len(groups()) > 0
		})
		eventually(t, "it leaves all groups", func() bool { return status(t, proc(pid, "status"))["Groups"] == "" })
		must(t, cmd.Process.Kill())
		eventually(t, "it ends", func() bool { return errors.Is(unix.Kill(pid, 0), unix.ESRCH) })
		// The next compiler removes what is left: the cgroup.
		s := hostile(t, "exits", Config{})
		s.cgroup = parent
		_, _, _ = s.compile(anyModule(t))
		if left := groups(); len(left) > 0 {
			t.Errorf("%s are left", left)
		}
	}
}

func TestCompilersOfAShimWithReaper(t *testing.T) {
	t.Parallel()
	_, says := startShim(t, "leaves a grandchild with the pipe", "compile-test-reaper-"+strconv.Itoa(os.Getpid()))
	var lines []string
	for says.Scan() {
		lines = append(lines, says.Text())
	}
	if len(lines) != 9 {
		t.Fatalf("%q", lines)
	}
	for _, line := range []string{lines[1], lines[4], lines[7]} {
		if !strings.Contains(line, "ended with status 0 before") {
			t.Errorf("%q", line)
		}
	}
	if lines[2] != lines[8] {
		t.Errorf("%s descriptors after the first, %s after the third", lines[2], lines[8])
	}
}

// Not parallel: it counts the descriptors of the process.
func TestNoDescriptorIsLeft(t *testing.T) {
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		must(t, err)
		return len(entries)
	}
	path := anyModule(t)
	m, d := module(t, path)
	round := func() {
		for _, deed := range []string{"exits", "garbage", "sends less", "another module's code", "hangs"} {
			s := hostile(t, deed, Config{Timeout: 200 * time.Millisecond})
			f, _ := s.Compile(t.Context(), m, d)
			closeFile(f)
			s.checkNothingIsLeft()
		}
		s := hostile(t, "exits", Config{})
		s.binary = func() (*os.File, error) { return os.Open(path) } // cannot be executed
		if _, err := s.Compile(t.Context(), m, d); !errors.Is(err, ErrUnavailable) {
			t.Error(err)
		}
	}
	round()
	before := count()
	round()
	if after := count(); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}
