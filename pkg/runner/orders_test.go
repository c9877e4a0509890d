package runner

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
)

// TestFailedRunnerEndsAfterGo and not with the code, which may come before: an end
// before Go would be all that is seen of it.
func TestFailedRunnerEndsAfterGo(t *testing.T) {
	t.Parallel()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	shim, runner := os.NewFile(uintptr(fds[0]), "shim"), os.NewFile(uintptr(fds[1]), "runner")
	defer shim.Close()
	defer runner.Close()
	control := job.NewControl(shim)
	ended := make(chan struct{})
	go func() {
		(&orders{Control: job.NewControl(runner), entered: true}).waitGoAnyway()
		close(ended)
	}()
	if err := control.Send(job.Code, shim); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
		t.Fatal("it has not waited")
	case <-time.After(50 * time.Millisecond):
	}
	if err := control.Send(job.Go, nil); err != nil {
		t.Fatal(err)
	}
	<-ended
}
