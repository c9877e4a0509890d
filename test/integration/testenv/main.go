// Package testenv gives tests a containerd of their own: built from source, in
// its own directory, and in namespaces of its own, so that nothing of the host
// is touched and nothing can stay behind.
package testenv

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
)

// stageEnv tells a re-executed test binary what it is.
const stageEnv = "WAZERO_TESTENV_STAGE"

const (
	stageInit = "init" // pid 1 of the namespaces
	stageTest = "test" // the tests themselves
)

// Main runs the tests in new mount, pid, UTS and network namespaces, where /run
// is empty; call it from TestMain. When the test process ends, in whatever way,
// the kernel ends all that it started.
func Main(m *testing.M) int {
	switch os.Getenv(stageEnv) {
	case stageTest:
		return m.Run()
	case stageInit:
		return report(initStage())
	default:
		if os.Getuid() != 0 {
			fmt.Fprintln(os.Stderr, "testenv: these tests start containerd and need root")
			return 1
		}
		return report(outerStage())
	}
}

// report turns the end of a stage into an exit status.
func report(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	fmt.Fprintln(os.Stderr, "testenv:", err)
	return 1
}

// outerStage starts pid 1 of the namespaces and waits for it.
func outerStage() error {
	cmd := again(stageInit)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWNET,
		Pdeathsig:  syscall.SIGKILL,
	}
	return cmd.Run()
}

// again is this test binary with the same arguments in another stage.
func again(stage string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), stageEnv+"="+stage)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd
}

// initStage prepares the namespaces, starts the tests, and reaps orphans until
// the tests are done.
func initStage() error {
	if err := prepareNamespaces(); err != nil {
		return err
	}
	exe, err := os.Executable() // /proc is ours now, /proc/self/exe still this file
	if err != nil {
		return err
	}
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM) // the tests get them too
	cmd := again(stageTest)
	cmd.Path = exe
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the tests: %w", err)
	}
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("wait for the tests: %w", err)
		}
		if pid != cmd.Process.Pid {
			continue
		}
		if status.Signaled() {
			return fmt.Errorf("the tests were ended by %s", status.Signal())
		}
		os.Exit(status.ExitStatus())
	}
}

func prepareNamespaces() error {
	mounts := []struct {
		source, target, fstype string
		flags                  uintptr
	}{
		{"", "/", "", syscall.MS_REC | syscall.MS_PRIVATE},
		{"proc", "/proc", "proc", syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC},
		{"run", "/run", "tmpfs", syscall.MS_NOSUID | syscall.MS_NODEV},
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
