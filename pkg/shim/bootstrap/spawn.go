package bootstrap

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/cgroupfs"
)

// selfExe is the running binary, even when its file has been replaced.
const selfExe = "/proc/self/exe"

// daemonProcs is GOMAXPROCS of the daemon. It handles a few calls per second and
// there is one per pod; more would only cost memory for threads.
const daemonProcs = 2

// spawn starts the daemon with the listener as its file descriptor 3, detached
// from containerd. kill ends it.
func spawn(p Process, c Config, f *Flags, ps *params, socket string, l *net.UnixListener) (kill func(), err error) {
	file, err := l.File()
	if err != nil {
		return nil, fmt.Errorf("pass the socket on: %w", err)
	}
	defer file.Close()
	executable := c.Executable
	if executable == "" {
		executable = selfExe
	}
	// No stdio: containerd reads the answer of start until its pipe is closed.
	cmd := &exec.Cmd{
		Path:        executable,
		Args:        daemonArgs(f, ps, socket),
		Dir:         p.Dir,
		Env:         daemonEnv(p.Environ, ps),
		ExtraFiles:  []*os.File{file},
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if err := startProcess(p, cmd); err != nil {
		return nil, fmt.Errorf("start the shim: %w", err)
	}
	kill = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	if err := place(cmd.Process.Pid, ps); err != nil {
		kill()
		return nil, err
	}
	return kill, nil
}

func daemonArgs(f *Flags, ps *params, socket string) []string {
	args := []string{program, "-namespace", f.Namespace, "-id", f.ID, "-address", ps.grpcAddress, "-socket", socket}
	if ps.debug {
		args = append(args, "-debug")
	}
	return args
}

// daemonEnv is containerd's environment without what is meant for containerd
// itself: systemd's notification socket would reach runc, and containers.
func daemonEnv(environ []string, ps *params) []string {
	var env []string
	for _, kv := range environ {
		name, _, _ := strings.Cut(kv, "=")
		switch name {
		case "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES",
			"GOMAXPROCS", ttrpcAddressEnv:
			continue
		}
		env = append(env, kv)
	}
	return append(env, ttrpcAddressEnv+"="+ps.ttrpcAddress, "GOMAXPROCS="+strconv.Itoa(daemonProcs))
}

// startProcess gives the daemon a core scheduling cookie of its own when
// containerd is configured to ask for it: children inherit the one of the thread
// that starts them.
func startProcess(p Process, cmd *exec.Cmd) error {
	if getenv(p.Environ, schedCoreEnv) == "" {
		return cmd.Start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const thread = 0 // PIDTYPE_PID, prctl(2)
	if err := unix.Prctl(unix.PR_SCHED_CORE, unix.PR_SCHED_CORE_CREATE, 0, thread, 0); err != nil {
		return fmt.Errorf("core scheduling (%s is set): %w", schedCoreEnv, err)
	}
	return cmd.Start()
}

// place gives the daemon its OOM score and cgroup.
func place(pid int, ps *params) error {
	adjustOOMScore(pid)
	if ps.options.ShimCgroup == "" {
		return nil
	}
	return joinCgroup(cgroupfs.Root, ps.options.ShimCgroup, pid)
}

// adjustOOMScore makes the shim a slightly better victim than containerd, and
// still a far worse one than its containers. A process that may not do this
// keeps its parent's score.
func adjustOOMScore(pid int) {
	const max = 1000 // OOM_SCORE_ADJ_MAX
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", os.Getppid()))
	if err != nil {
		return
	}
	score, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return
	}
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), []byte(strconv.Itoa(min(score+1, max))), 0)
}

// joinCgroup puts a process into an existing cgroup: in the unified hierarchy, or
// on cgroup v1 in every hierarchy that has it.
func joinCgroup(root, cgroup string, pid int) error {
	cgroup = filepath.Clean("/" + cgroup)
	procs := []string{filepath.Join(root, cgroup, "cgroup.procs")}
	if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); err != nil {
		v1, err := filepath.Glob(filepath.Join(root, "*"))
		if err != nil {
			return err
		}
		procs = nil
		for _, hierarchy := range v1 {
			path := filepath.Join(hierarchy, cgroup, "cgroup.procs")
			if _, err := os.Stat(path); err == nil {
				procs = append(procs, path)
			}
		}
	}
	if len(procs) == 0 {
		return fmt.Errorf("runtime option ShimCgroup: there is no cgroup %s", cgroup)
	}
	for _, path := range procs {
		if err := appendPid(path, pid); err != nil {
			return fmt.Errorf("runtime option ShimCgroup: %w", err)
		}
	}
	return nil
}

func appendPid(path string, pid int) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(strconv.Itoa(pid))
	return err
}
