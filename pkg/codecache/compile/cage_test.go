package compile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
)

// kinds are the two ways to run a compiler.
var kinds = map[string]func(*subject){
	"user namespace":    func(*subject) {},
	"no user namespace": func(s *subject) { s.userNamespaces = false },
}

// forbidden lists the deeds of the hostile compiler that must end it.
func forbidden(t *testing.T) []string {
	t.Helper()
	cmd := exec.Command(hostileCompiler)
	cmd.Env = []string{"HOSTILE_DEED=list"}
	out, err := cmd.Output()
	must(t, err)
	all := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(all) < 50 {
		t.Fatalf("only %q", all)
	}
	return all
}

func TestForbiddenCallEndsTheCompiler(t *testing.T) {
	t.Parallel()
	for _, call := range forbidden(t) {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			_, _, err := hostile(t, "call "+call, Config{}).compile(anyModule(t))
			if !errors.Is(err, ErrBroken) || !strings.Contains(err.Error(), "a system call that no compiler makes") {
				t.Error(err)
			}
		})
	}
}

func TestCompilerInItsCageCanEndLikeAnyProgram(t *testing.T) {
	t.Parallel()
	for call, text := range map[string]string{
		"huge pages":     "it went on: cannot allocate memory", // and not out of the pool
		"threads":        "it went on: <nil>",
		"random numbers": "it went on: <nil>",
		"panic":          "ended with status 2 before it had handed over the code: panic: on purpose",
		"fault":          "ended with status 2 before it had handed over the code: panic: runtime error: invalid memory address",
	} {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			if _, _, err := hostile(t, "call "+call, Config{}).compile(anyModule(t)); err == nil || !strings.Contains(err.Error(), text) {
				t.Error(err)
			}
		})
	}
}

func TestCPUTimeIsBoundedByTheKernelToo(t *testing.T) {
	t.Parallel()
	s := hostile(t, "call spin", Config{Timeout: patience})
	m, d := module(t, anyModule(t))
	// A job that allows one second, as if the shim had forgotten about it.
	task := task{Compiler: s.Compiler, module: m, workers: 1}
	task.header.Module = d
	task.cpuSeconds = 1
	if _, err := task.run(t.Context()); !errors.Is(err, ErrBroken) || !strings.Contains(err.Error(), "SIGKILL") {
		t.Error(err)
	}
}

func TestCompilerHasNothing(t *testing.T) {
	t.Parallel()
	for name, change := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := hostile(t, "call wait", Config{})
			change(s)
			leaked, err := os.Open("/etc")
			must(t, err)
			defer leaked.Close()
			inner := s.config.Start
			s.config.Start = func(cmd *exec.Cmd) (_ <-chan exit, _ error) {
				cmd.ExtraFiles = append(cmd.ExtraFiles, leaked)
				return inner(cmd)
			}
			m, d := module(t, anyModule(t))
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() {
				_, err := s.Compile(ctx, m, d)
				ended <- err
			}()
			defer func() {
				cancel()
				if err := <-ended; !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			}()
			pid := s.pid()
			eventually(t, "it is in its cage", func() bool { return status(t, proc(pid, "status"))["Seccomp"] == "2" })
			checkCredentials(t, pid, userFor(0))
			checkFiles(t, pid)
			checkNamespaces(t, pid, name == "user namespace")
			checkLimits(t, pid, s.config.Memory)
			checkPlace(t, pid, s.cgroup)
			// What is not dumpable belongs to the root of its user namespace.
			var mem unix.Stat_t
			must(t, unix.Stat(proc(pid, "mem"), &mem))
			if name == "no user namespace" && mem.Uid != 0 {
				t.Errorf("its memory belongs to user %d", mem.Uid)
			}
		})
	}
}

func checkCredentials(t *testing.T, pid, user int) {
	t.Helper()
	id := strings.TrimSpace(strings.Repeat(strconv.Itoa(user)+" ", 4))
	want := map[string]string{
		"CapInh": "0000000000000000", "CapPrm": "0000000000000000", "CapEff": "0000000000000000",
		"CapBnd": "0000000000000000", "CapAmb": "0000000000000000",
		"NoNewPrivs": "1", "Seccomp": "2", "Seccomp_filters": "1", "Uid": id, "Gid": id, "Groups": "",
	}
	files, err := filepath.Glob(proc(pid, "task/*/status"))
	must(t, err)
	if len(files) < 2 {
		t.Fatalf("threads: %v", files)
	}
	for _, file := range files {
		got := status(t, file)
		for key, value := range want {
			if got[key] != value {
				t.Errorf("%s: %s is %q, want %q", file, key, got[key], value)
			}
		}
	}
}

func checkFiles(t *testing.T, pid int) {
	t.Helper()
	if entries, err := os.ReadDir(proc(pid, "root")); err != nil || len(entries) > 0 {
		t.Fatalf("its root has %v (%v)", entries, err)
	}
	if err := os.WriteFile(proc(pid, "root/file"), nil, 0o600); !errors.Is(err, unix.EROFS) {
		t.Errorf("write to its root: %v", err)
	}
	if dir, err := os.Readlink(proc(pid, "cwd")); err != nil || dir != "/" {
		t.Errorf("it is in %s (%v)", dir, err)
	}
	mounts, err := os.ReadFile(proc(pid, "mountinfo"))
	must(t, err)
	if strings.Count(string(mounts), "\n") != 1 || !strings.Contains(string(mounts), " / / ro,nosuid,nodev,noexec,") {
		t.Errorf("its mounts are\n%s", mounts)
	}
	links, err := filepath.Glob(proc(pid, "fd/*"))
	must(t, err)
	for _, link := range links {
		target, err := os.Readlink(link)
		must(t, err)
		switch fd := filepath.Base(link); {
		case fd == "4" && strings.HasSuffix(target, "/app.wasm"):
		case (fd == "2" || fd == "5") && strings.HasPrefix(target, "pipe:"):
		case strings.HasPrefix(target, "anon_inode:[event"): // of the Go runtime
		default:
			t.Errorf("descriptor %s is %s", fd, target)
		}
	}
}

func checkNamespaces(t *testing.T, pid int, user bool) {
	t.Helper()
	for _, kind := range []string{"mnt", "pid", "net", "ipc", "uts", "cgroup", "user"} {
		ours, err := os.Readlink("/proc/self/ns/" + kind)
		must(t, err)
		its, err := os.Readlink(proc(pid, "ns/"+kind))
		must(t, err)
		if own := its != ours; own != (kind != "user" || user) {
			t.Errorf("%s namespace of its own: %t", kind, own)
		}
	}
}

func checkLimits(t *testing.T, pid int, memory int64) {
	t.Helper()
	limits, err := os.ReadFile(proc(pid, "limits"))
	must(t, err)
	for name, want := range map[string]string{
		"Max open files": "0 0 files", "Max file size": "0 0 bytes", "Max core file size": "0 0 bytes",
		"Max locked memory": "0 0 bytes", "Max processes": "64 64 processes", "Max msgqueue size": "0 0 bytes",
		"Max cpu time":  "601 601 seconds", // or with two threads
		"Max data size": fmt.Sprintf("%d %[1]d bytes", 2*memory+512<<20), "Max address space": fmt.Sprintf("%d %[1]d bytes", 2*memory+2<<30),
	} {
		_, rest, _ := strings.Cut(string(limits), name+" ")
		line, _, _ := strings.Cut(rest, "\n")
		if got := strings.Join(strings.Fields(line), " "); got != want && got != strings.ReplaceAll(want, "601", "1202") {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	stats, err := filepath.Glob(proc(pid, "task/*/stat"))
	must(t, err)
	for _, file := range stats {
		data, err := os.ReadFile(file)
		must(t, err)
		_, rest, _ := strings.Cut(string(data), ") ")
		if nice := strings.Fields(rest)[16]; nice != "10" {
			t.Errorf("niceness of %s is %s", file, nice)
		}
	}
}

// checkPlace looks at what others see of it.
func checkPlace(t *testing.T, pid int, cgroup string) {
	t.Helper()
	want := fmt.Sprintf("/%s/compile-%d\n", cgroup, pid)
	if data, err := os.ReadFile(proc(pid, "cgroup")); err != nil || !strings.Contains(string(data), want) {
		t.Errorf("its cgroups are %s (%v)", data, err)
	}
	if data, err := os.ReadFile(proc(pid, "oom_score_adj")); err != nil || string(data) != "1000\n" {
		t.Errorf("oom_score_adj is %s (%v)", data, err)
	}
	data, err := os.ReadFile(proc(pid, "environ"))
	must(t, err)
	for _, variable := range strings.Split(strings.Trim(string(data), "\x00"), "\x00") {
		switch name, _, _ := strings.Cut(variable, "="); name {
		case job.RoleEnv, "GOMAXPROCS", "GODEBUG", "HOSTILE_DEED":
		default:
			t.Errorf("its environment has %s", variable)
		}
	}
}

// A kernel, or a policy, without user namespaces.
func TestCompilerNeedsNoUserNamespace(t *testing.T) {
	t.Parallel()
	s := newSubject(t, realCompiler, Config{})
	inner := s.config.Start
	s.config.Start = func(cmd *exec.Cmd) (<-chan exit, error) {
		if cmd.SysProcAttr.Cloneflags&unix.CLONE_NEWUSER != 0 {
			return nil, &os.PathError{Op: "fork/exec", Path: cmd.Path, Err: unix.ENOSPC}
		}
		return inner(cmd)
	}
	_, _, err := s.compile(wat(t, `(module (func (export "_start")))`))
	must(t, err)
}

func TestCompilerThatCannotBeStartedIsUnavailable(t *testing.T) {
	t.Parallel()
	s := newSubject(t, anyModule(t), Config{})
	_, _, err := s.compile(anyModule(t))
	if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), `no compiler can be started for module "/app.wasm"`) {
		t.Error(err)
	}
	// A program that cannot make itself harmless: a change of users fails.
	s = newSubject(t, realCompiler, Config{})
	s.userNamespaces = false
	inner := s.config.Start
	s.config.Start = func(cmd *exec.Cmd) (<-chan exit, error) {
		cmd.SysProcAttr.Cloneflags &^= unix.CLONE_NEWNS
		cmd.SysProcAttr.Credential = credential(firstUser)
		return inner(cmd)
	}
	_, _, err = s.compile(anyModule(t))
	if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "cannot work on this node: ") {
		t.Error(err)
	}
}

func TestCompilerThatNobodyAskedForSaysSo(t *testing.T) {
	t.Parallel()
	out, err := exec.Command(realCompiler).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 126 || !strings.Contains(string(out), "only the shim can start") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestFileThatIsOpenForWritingIsRefused(t *testing.T) {
	t.Parallel()
	s := newSubject(t, realCompiler, Config{})
	path := anyModule(t)
	m, d := module(t, path)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	if _, err := s.Compile(t.Context(), codecache.Module{File: f, Name: m.Name}, d); err == nil || !strings.Contains(err.Error(), "reading only") {
		t.Error(err)
	}
}
