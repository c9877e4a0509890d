package sigexit

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// childEnv makes the test binary a process that waits for its end.
const childEnv = "SIGEXIT_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		child()
	}
	os.Exit(m.Run())
}

// spins keeps the compiler from removing the loop.
var spins int

// child spins after it has said that it can be ended.
func child() {
	if err := Install(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("ready")
	for n := 0; ; n++ {
		spins = n
	}
}

func TestEverySignalEndsTheProcessWithItsStatus(t *testing.T) {
	t.Parallel()
	for _, s := range terminating() {
		t.Run(fmt.Sprint(int(s)), func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = append(os.Environ(), childEnv+"=1")
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			line, _ := bufio.NewReader(out).ReadString('\n')
			if line != "ready\n" {
				t.Errorf("child said %q", line)
			}
			_ = cmd.Process.Signal(s)
			_ = cmd.Wait()
			if status := cmd.ProcessState.ExitCode(); status != 128+int(s) {
				t.Errorf("status %d (%v)", status, cmd.ProcessState)
			}
		})
	}
}

func TestSignalsOfTheGoRuntimeAreLeftAlone(t *testing.T) {
	t.Parallel()
	for _, s := range terminating() {
		switch s {
		case syscall.SIGKILL, syscall.SIGPIPE, syscall.SIGPROF, syscall.SIGURG, syscall.SIGSEGV, syscall.SIGBUS,
			syscall.SIGFPE, syscall.SIGILL, syscall.SIGTRAP, syscall.SIGSYS, syscall.SIGCHLD, 32, 33, 34:
			t.Errorf("signal %d is among them", s)
		}
	}
}
