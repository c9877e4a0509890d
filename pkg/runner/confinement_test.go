package runner_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
)

func TestEveryThreadLosesItsPrivileges(t *testing.T) {
	t.Parallel()
	needRoot(t)
	p := startReady(t, guest(t, "guest", garbageBody), options{job: job.Job{KeepCapabilities: []string{"CAP_DAC_OVERRIDE"}}})
	p.letGo()
	p.awaitStdout("ready\n")
	want := map[string]string{
		"CapInh": "0000000000000000", "CapPrm": "0000000000000002", "CapEff": "0000000000000002",
		"CapBnd": "0000000000000000", "CapAmb": "0000000000000000", "NoNewPrivs": "1",
	}
	files, err := filepath.Glob(p.proc("task/*/status"))
	must(t, err)
	if len(files) < 2 {
		t.Fatalf("threads: %v", files)
	}
	for _, file := range files {
		got := statusFields(t, file)
		for key, value := range want {
			if got[key] != value {
				t.Errorf("%s: %s is %s, want %s", file, key, got[key], value)
			}
		}
	}
}

func TestOnlyFileCapabilitiesCanBeKept(t *testing.T) {
	t.Parallel()
	p, report := start(t, guest(t, "guest", spinBody), options{job: job.Job{KeepCapabilities: []string{"CAP_SYS_ADMIN"}}})
	if report.Kind != job.Failed || !strings.Contains(report.Message, `"CAP_SYS_ADMIN"`) {
		t.Errorf("report %+v", report)
	}
	p.expect(126, "")
}

func TestNoDescriptorReachesTheGuest(t *testing.T) {
	t.Parallel()
	leaked := open(t, "/etc")
	high := open(t, "/etc")
	must(t, unix.Dup3(int(leaked.Fd()), 777, 0))
	defer unix.Close(777)
	p := startReady(t, guest(t, "guest", spinBody), options{extra: []*os.File{leaked, high}})
	stderr, err := os.Readlink(p.proc("fd/2"))
	must(t, err)
	links, err := filepath.Glob(p.proc("fd/*"))
	must(t, err)
	for _, link := range links {
		target, err := os.Readlink(link)
		must(t, err)
		fd := filepath.Base(link)
		switch {
		case len(fd) == 1 && fd <= "2":
		case fd == fmt.Sprint(job.FDControl) && strings.HasPrefix(target, "socket:"):
		case target == stderr: // a pipe of its own; pkg/wasi says why there are two
		// Those of the Go runtime, which reads its CPU quota again and again.
		case strings.HasPrefix(target, "anon_inode:"), strings.HasPrefix(target, "/sys/fs/cgroup/"):
		default:
			t.Errorf("descriptor %s is %s", fd, target)
		}
	}
}

func TestProcessLooksLikeTheGuest(t *testing.T) {
	t.Parallel()
	args := []string{"/app/server.wasm", "--port", "", "8080"}
	p := startReady(t, guest(t, "guest", spinBody), options{job: job.Job{Module: "/app/a-very-long-name.wasm", Args: args}})
	cmdline, err := os.ReadFile(p.proc("cmdline"))
	must(t, err)
	if got := strings.TrimRight(string(cmdline), "\x00"); got != strings.Join(args, "\x00") {
		t.Errorf("cmdline is %q", cmdline)
	}
	comm, err := os.ReadFile(p.proc("comm"))
	must(t, err)
	if string(comm) != "a-very-long-nam\n" {
		t.Errorf("comm is %q", comm)
	}
}

func TestProcessCannotBeDumped(t *testing.T) {
	t.Parallel()
	needRoot(t)
	const user = 1000
	p := startReady(t, guest(t, "guest", spinBody), options{attr: &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}})
	// The kernel gives the files of a process that is not dumpable to root.
	var info unix.Stat_t
	must(t, unix.Stat(p.proc("mem"), &info))
	if info.Uid != 0 {
		t.Errorf("its memory belongs to user %d", info.Uid)
	}
	limits, err := os.ReadFile(p.proc("limits"))
	must(t, err)
	for line := range strings.Lines(string(limits)) {
		if name, values, ok := strings.Cut(line, "core file size"); ok && !strings.HasPrefix(strings.Join(strings.Fields(values), " "), "0 0") {
			t.Errorf("limit of %score files: %s", name, values)
		}
	}
}

func TestGuestOfRootCannotWriteItsHostsMemory(t *testing.T) {
	t.Parallel()
	needRoot(t)
	// path_open(3, follow, "proc/self/mem") to be read and written; the errno is the
	// status.
	const read, write = 0x02, 0x40
	open := func(path string, rights int) string {
		return fmt.Sprintf(`(data (i32.const 3000) %q) (func (export "_start")
      (call $exit (call $path_open (i32.const 3) (i32.const 1) (i32.const 3000) (i32.const %d) (i32.const 0)
        (i64.const %d) (i64.const 0) (i32.const 0) (i32.const 2048))))`, path, len(path), rights)
	}
	o := options{job: job.Job{Preopens: []job.Preopen{{Guest: "/", Host: "/"}}}}
	const errnoAccess = 2
	for _, path := range []string{"proc/self/mem", "proc/thread-self/mem", "proc/self/task/../mem", "dev/../proc/self/oom_score_adj"} {
		run(t, guest(t, "guest", open(path, read|write)), o).expect(errnoAccess, "")
	}
	run(t, guest(t, "guest", open("dev/null", read|write)), o).expect(0, "")
	run(t, guest(t, "guest", open("proc/self/fd/2", write)), o).expect(0, "")
}

func (p *process) proc(name string) string {
	return fmt.Sprintf("/proc/%d/%s", p.cmd.Process.Pid, name)
}

func statusFields(t *testing.T, file string) map[string]string {
	t.Helper()
	data, err := os.ReadFile(file)
	must(t, err)
	fields := make(map[string]string)
	for line := range strings.Lines(string(data)) {
		key, value, _ := strings.Cut(line, ":")
		fields[key] = strings.TrimSpace(value)
	}
	return fields
}
