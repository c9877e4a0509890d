package quick

import (
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"syscall"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/timerslack"
)

// Program is what the daemon is called.
const Program = "containerd-shim-wazero-v1"

// ListenerFD is where start puts the listening socket of the daemon.
const ListenerFD = 3

// selfExe is the running binary, even when its file has been replaced.
const selfExe = "/proc/self/exe"

// daemonProcs is GOMAXPROCS of the daemon. It handles a few calls per second and
// there is one per pod; more would only cost memory for threads.
const daemonProcs = 2

// spawn starts the daemon with the listener as its file descriptor 3, detached
// from containerd. kill ends it.
func (s *Start) spawn(ps *params, socket string, listener int) (kill func(), err error) {
	executable := s.Executable
	if executable == "" {
		executable = selfExe
	}
	// No stdio: containerd reads the answer of start until its pipe is closed.
	null, err := open(os.DevNull, syscall.O_RDWR, 0)
	if err != nil {
		return nil, &failure{"start the shim", err}
	}
	defer syscall.Close(null)
	// Not os.StartProcess: it makes a process to see what the kernel can do.
	pid, err := s.fork(executable, s.daemonArgs(ps, socket), &syscall.ProcAttr{
		Dir:   s.Dir,
		Env:   s.daemonEnv(ps),
		Files: []uintptr{uintptr(null), uintptr(null), uintptr(null), ListenerFD: uintptr(listener)},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return nil, &failure{"start the shim", err}
	}
	kill = func() {
		_ = syscall.Kill(pid, syscall.SIGKILL)
		for {
			if _, err := syscall.Wait4(pid, nil, 0, nil); err != syscall.EINTR {
				return
			}
		}
	}
	adjustOOMScore(pid)
	if ps.options.ShimCgroup != "" {
		if err := s.JoinCgroup(ps.options.ShimCgroup, pid); err != nil {
			kill()
			return nil, err
		}
	}
	return kill, nil
}

func (s *Start) daemonArgs(ps *params, socket string) []string {
	args := []string{Program, "-namespace", s.Namespace, "-id", s.ID, "-address", ps.grpcAddress, "-socket", socket}
	if ps.debug {
		args = append(args, "-debug")
	}
	return args
}

// daemonEnv is containerd's environment without what is meant for containerd
// itself: systemd's notification socket would reach runc, and containers.
func (s *Start) daemonEnv(ps *params) []string {
	env := make([]string, 0, len(s.Environ)+2)
	for _, kv := range s.Environ {
		name, _, _ := cut(kv, '=')
		switch name {
		case "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES",
			"GOMAXPROCS", ttrpcAddressEnv:
			continue
		}
		env = append(env, kv)
	}
	return append(env, ttrpcAddressEnv+"="+ps.ttrpcAddress, "GOMAXPROCS="+strconv.Itoa(daemonProcs))
}

// fork gives the daemon what children inherit from the thread that starts them: a coarse
// timer slack, and a core scheduling cookie of its own when containerd is configured to ask
// for it. This process ends soon, and takes no offence at the former.
func (s *Start) fork(executable string, args []string, attr *syscall.ProcAttr) (pid int, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_ = timerslack.Set(timerslack.Coarse) // costs a little if it fails
	if getenv(s.Environ, schedCoreEnv) != "" {
		if err := newCoreCookie(); err != nil {
			return 0, &failure{"core scheduling (" + schedCoreEnv + " is set)", err}
		}
	}
	pid, err = syscall.ForkExec(executable, args, attr)
	if err != nil {
		return 0, &fs.PathError{Op: "fork/exec", Path: executable, Err: err}
	}
	return pid, nil
}

// newCoreCookie is for this thread.
func newCoreCookie() error {
	const (
		prSchedCore       = 62 // prctl(2)
		prSchedCoreCreate = 1
		thread            = 0 // PIDTYPE_PID
	)
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, prSchedCore, prSchedCoreCreate, 0, thread, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// adjustOOMScore makes the shim a slightly better victim than containerd, and
// still a far worse one than its containers. A process that may not do this
// keeps its parent's score.
func adjustOOMScore(pid int) {
	const max = 1000 // OOM_SCORE_ADJ_MAX
	from, err := open(oomScore(os.Getppid()), syscall.O_RDONLY, 0)
	if err != nil {
		return
	}
	defer syscall.Close(from)
	var line [16]byte
	n, err := read(from, line[:])
	if err != nil {
		return
	}
	text, _, _ := cut(string(line[:n]), '\n')
	score, err := strconv.Atoi(text)
	if err != nil {
		return
	}
	to, err := open(oomScore(pid), syscall.O_WRONLY, 0)
	if err != nil {
		return
	}
	defer syscall.Close(to)
	_ = WriteAll(to, []byte(strconv.Itoa(min(score+1, max))))
}

func oomScore(pid int) string { return "/proc/" + strconv.Itoa(pid) + "/oom_score_adj" }
