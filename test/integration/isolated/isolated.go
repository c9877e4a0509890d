// Package isolated runs a program in namespaces of its own and configures a
// containerd so that it keeps to one directory there: nothing of the host is
// touched, and nothing stays behind.
package isolated

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
)

// stageEnv tells a re-executed program what it is.
const stageEnv = "WAZERO_ISOLATED_STAGE"

// systemdEnv says that the whole machine is there for the program, a virtual one
// with systemd.
const systemdEnv = "WAZERO_TEST_SYSTEMD"

// UnderSystemd tells whether systemd is to make the cgroups. Run makes no
// namespaces then: systemd knows processes by the numbers that they have in its
// own, and is reached through /run.
func UnderSystemd() bool { return os.Getenv(systemdEnv) != "" }

const (
	stageInit = "init" // pid 1 of the namespaces
	stageMain = "main" // the program itself
)

// Run calls run in new mount, pid, UTS and network namespaces, where /run is
// empty, and returns the exit status for the process. The program executes
// itself for that, so call Run first thing in main. When the process ends, in
// whatever way, the kernel ends all that it started.
func Run(run func() int) int {
	if UnderSystemd() {
		return run()
	}
	switch os.Getenv(stageEnv) {
	case stageMain:
		os.Unsetenv(stageEnv)
		return run()
	case stageInit:
		return report(initStage())
	default:
		if os.Getuid() != 0 {
			fmt.Fprintln(os.Stderr, "this starts containerd and needs root")
			return 1
		}
		return report(outerStage())
	}
}

// report turns the end of a stage into an exit status.
func report(err error) int {
	var exit *exec.ExitError
	var code exitStatus
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit) && exit.Exited():
		return exit.ExitCode()
	case errors.As(err, &code):
		return int(code)
	}
	fmt.Fprintln(os.Stderr, "isolated:", err)
	return 1
}

// exitStatus is a program's own; it has said why.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// outerStage starts pid 1 of the namespaces and waits for it.
func outerStage() error {
	cmd := again(stageInit)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWNET,
		Pdeathsig:  syscall.SIGKILL,
	}
	runtime.LockOSThread() // the signal comes when the thread ends that started the child
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("make namespaces: %w", err)
	}
	defer forwardSignals(cmd.Process)()
	return cmd.Wait()
}

// forwardSignals passes on what asks this process to end, until stop is called.
func forwardSignals(to *os.Process) (stop func()) {
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		for s := range ch {
			_ = to.Signal(s)
		}
	}()
	return func() { signal.Stop(ch); close(ch) }
}

// again is this program with the same arguments in another stage.
func again(stage string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), stageEnv+"="+stage)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd
}

// initStage prepares the namespaces, starts the program, and reaps orphans
// until it is done.
func initStage() error {
	if err := prepareNamespaces(); err != nil {
		return err
	}
	exe, err := os.Executable() // /proc is ours now, /proc/self/exe still this file
	if err != nil {
		return err
	}
	cmd := again(stageMain)
	cmd.Path = exe
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the program: %w", err)
	}
	defer forwardSignals(cmd.Process)()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("wait for the program: %w", err)
		}
		if pid != cmd.Process.Pid {
			continue
		}
		if status.Signaled() {
			return fmt.Errorf("the program was ended by %s", status.Signal())
		}
		if code := status.ExitStatus(); code != 0 {
			return exitStatus(code)
		}
		return nil
	}
}

func prepareNamespaces() error {
	type mount struct {
		source, target, fstype string
		flags                  uintptr
	}
	mounts := []mount{
		{"", "/", "", syscall.MS_REC | syscall.MS_PRIVATE},
		{"proc", "/proc", "proc", syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC},
		{"run", "/run", "tmpfs", syscall.MS_NOSUID | syscall.MS_NODEV},
	}
	// Where CNI's library keeps records of networks, a constant there.
	if _, err := os.Stat("/var/lib/cni"); err == nil {
		mounts = append(mounts, mount{"cni", "/var/lib/cni", "tmpfs", syscall.MS_NOSUID | syscall.MS_NODEV})
	}
	for _, m := range mounts {
		if err := syscall.Mount(m.source, m.target, m.fstype, m.flags, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("set lo up: %w: %s", err, out)
	}
	return nil
}
