package holder

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A filter is for ever, so the tests' holders are processes of their own: this
// binary again. They have what a holder has: FDShim, and the rest up to FDReport.
const childEnv = "HOLDER_TEST_CHILD"

func TestMain(m *testing.M) {
	var p *program
	var err error
	switch os.Getenv(childEnv) {
	case "":
		os.Exit(m.Run())
	case "Go":
		p = &program{fd: -1}
	case "program":
		unix.CloseOnExec(FDReport)
		p, err = newProgram()
	}
	if err == nil {
		err = policy(p.fd).Load()
	}
	if err == nil {
		err = p.become()
	}
	if err != nil {
		report(err)
		os.Exit(1)
	}
	os.Exit(0)
}

// TestSleep under the filter, until the shim is gone, in either way.
func TestSleep(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"Go", "program"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			stdin, shim, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			reports, report, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = []string{childEnv + "=" + kind, "GOMAXPROCS=1"}
			cmd.Stdin, cmd.ExtraFiles = stdin, []*os.File{stdin, stdin, report}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			stdin.Close()
			report.Close()
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			said := make([]byte, MaxReport)
			if n, _ := reports.Read(said); n > 0 {
				t.Fatalf("it says %q", said[:n])
			}
			select {
			case err := <-ended:
				t.Fatalf("it ended too early: %v", err)
			case <-time.After(time.Second):
			}
			status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
			if err != nil || !strings.Contains(string(status), "Seccomp:\t2") {
				t.Errorf("it has no filter: %v", err)
			}
			shim.Close()
			select {
			case err := <-ended:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(10 * time.Second):
				_ = cmd.Process.Kill()
				t.Fatal("it does not end")
			}
		})
	}
}
