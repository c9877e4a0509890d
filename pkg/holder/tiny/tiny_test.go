package tiny

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func open(t *testing.T, make func() (*os.File, error)) *os.File {
	t.Helper()
	f, err := make()
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestSleepEndsWithItsInput(t *testing.T) {
	t.Parallel()
	f := open(t, Sleep)
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/fd/3")
	cmd.Stdin, cmd.ExtraFiles = in, []*os.File{f}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	// It names itself first.
	var comm []byte
	for deadline := time.Now().Add(10 * time.Second); string(comm) != "wazero-holder\n"; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("its name is %q (%v)", comm, err)
			break
		}
		comm, err = os.ReadFile(fmt.Sprintf("/proc/%d/comm", cmd.Process.Pid))
	}
	// Neither what it reads nor a signal that interrupts it is an end.
	if _, err := out.WriteString("x"); err != nil {
		t.Fatal(err)
	}
	for _, sig := range []syscall.Signal{unix.SIGSTOP, unix.SIGCONT} {
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case err := <-ended:
		t.Fatalf("it ended too early: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	out.Close()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		_ = cmd.Process.Kill()
		t.Fatal("it does not end")
	}
}

func TestProgramsCannotBeChanged(t *testing.T) {
	t.Parallel()
	f := open(t, Sleep)
	if w, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), os.O_RDWR, 0); err == nil {
		if _, err := w.WriteString("x"); err == nil {
			t.Error("its code can be overwritten")
		}
		w.Close()
	}
}

// TestEnterJoinsAUserNamespace as its root, with arguments and environment.
func TestEnterJoinsAUserNamespace(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	enter := open(t, Enter)
	keeper := exec.Command("sleep", "60")
	keeper.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{HostID: 100000, Size: 65536}},
		GidMappings: []syscall.SysProcIDMap{{HostID: 100000, Size: 65536}},
		Credential:  &syscall.Credential{}, GidMappingsEnableSetgroups: true,
	}
	if err := keeper.Start(); err != nil {
		t.Skipf("no user namespaces here: %v", err)
	}
	defer func() { _ = keeper.Process.Kill(); _ = keeper.Wait() }()
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", keeper.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	binary, err := os.Open(shell)
	if err != nil {
		t.Fatal(err)
	}
	defer binary.Close()
	cmd := exec.Command("/proc/self/fd/4")
	cmd.Args = []string{"sh", "-c", `echo "$0 $1 $X" $(id -u) $(id -g); readlink /proc/self/ns/user; cat /proc/self/uid_map`, "zero", "one"}
	cmd.Env = []string{"X=env", "PATH=" + os.Getenv("PATH")}
	cmd.ExtraFiles = []*os.File{binary, enter, ns}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want, err := os.Readlink(ns.Name())
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(out), "\n")
	if lines[0] != "zero one env 0 0" || lines[1] != want || strings.Join(strings.Fields(lines[2]), " ") != "0 100000 65536" {
		t.Errorf("it says %q, want namespace %s", out, want)
	}

	cmd = exec.Command("/proc/self/fd/4")
	cmd.ExtraFiles = []*os.File{binary, enter} // without a namespace
	var exit *exec.ExitError
	if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != 127 {
		t.Errorf("without a namespace: %v", err)
	}
}
