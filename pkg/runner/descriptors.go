package runner

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/inherited"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
)

// firstOther is the first descriptor that a runner does not expect.
const firstOther = job.FDModule + 1

// openControl takes the control socket.
func openControl() (*job.Control, error) {
	kind, err := unix.GetsockoptInt(job.FDControl, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil || kind != unix.SOCK_STREAM {
		return nil, fmt.Errorf("descriptor %d is not the shim's socket", job.FDControl)
	}
	return job.NewControl(os.NewFile(job.FDControl, "control socket")), nil
}

// tidyDescriptors makes sure that the guest's process holds nothing but stdio
// and what the job needs: a descriptor that leaked from outside the container is
// a way out of it (CVE-2024-21626).
func tidyDescriptors() error {
	// The handle of the binary has served its purpose: exec.
	if err := unix.Close(job.FDBinary); err != nil {
		return fmt.Errorf("close the handle of the shim's binary: %w", err)
	}
	for fd := job.FDControl; fd <= job.FDModule; fd++ {
		unix.CloseOnExec(fd)
	}
	return inherited.Close(firstOther)
}

// readJob reads what to run and closes the descriptor.
func readJob() (*job.Job, error) {
	file := os.NewFile(job.FDJob, "job")
	if file == nil {
		return nil, errors.New("the shim passed no job")
	}
	defer file.Close()
	// An offset of its own: the shim's descriptor shares the file's position.
	return job.Decode(io.NewSectionReader(file, 0, job.MaxJobSize+1))
}
