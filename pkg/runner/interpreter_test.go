package runner_test

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
)

// denyCodeEnv makes the test binary a wrapper that forbids executable memory, as
// some security policies do, and goes on with the command in its arguments.
const denyCodeEnv = "RUNNER_TEST_DENY_CODE"

func denyCode() {
	if err := unix.Prctl(unix.PR_SET_MDWE, unix.PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0); err != nil {
		fmt.Fprintln(os.Stderr, "forbid executable memory:", err)
		os.Exit(1)
	}
	fmt.Fprintln(os.Stderr, syscall.Exec(os.Args[1], os.Args[1:], os.Environ()))
	os.Exit(1)
}

func TestInterpreterRunsWhereCodeCannotBeGenerated(t *testing.T) {
	t.Parallel()
	if _, err := unix.PrctlRetInt(unix.PR_GET_MDWE, 0, 0, 0, 0); err != nil {
		t.Skipf("executable memory can be forbidden from Linux 6.3 on: %v", err)
	}
	self, err := os.Executable()
	must(t, err)
	for _, c := range []origin{warm, cold} { // the shim cannot know
		p := launch(t, wat(t, "hello", helloWat), options{code: c, wrapper: []string{"/usr/bin/env", denyCodeEnv + "=1", self}})
		p.expectReport(job.Ready, job.CodeNone, "")
		p.letGo()
		p.expect(0, "hello\n")
		if n := strings.Count(p.stderr.String(), "the interpreter runs this program"); n != 1 {
			t.Errorf("it says so %d times:\n%s", n, p.stderr.String())
		}
	}
}
