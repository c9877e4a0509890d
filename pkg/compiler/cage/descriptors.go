package cage

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/compilejob"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/inherited"
)

// firstOther is the first descriptor that a compiler does not expect.
const firstOther = compilejob.FDJob + 1

// pipe writes to a descriptor without help of the Go runtime, which would ask
// for system calls that a compiler may not make.
type pipe int

func (p pipe) Write(b []byte) (written int, err error) {
	for written < len(b) {
		n, err := unix.Write(int(p), b[written:])
		if err != nil && !errors.Is(err, unix.EINTR) {
			return written, err
		}
		written += max(n, 0)
	}
	return written, nil
}

// checkDescriptors tells whether the shim has started this process.
func checkDescriptors() error {
	for fd, want := range map[int]uint32{
		compilejob.FDModule: unix.S_IFREG, compilejob.FDResult: unix.S_IFIFO, compilejob.FDJob: unix.S_IFIFO,
	} {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return fmt.Errorf("descriptor %d: %w", fd, err)
		}
		if st.Mode&unix.S_IFMT != want {
			return fmt.Errorf("descriptor %d is not what a compiler gets", fd)
		}
	}
	return nil
}

// tidyDescriptors makes sure that the process holds nothing but what it needs: a
// descriptor that leaked is a way out (CVE-2024-21626).
func tidyDescriptors() error {
	// The handle of the binary has served its purpose: exec. The others lead to
	// /dev/null.
	for _, fd := range []int{0, 1, compilejob.FDBinary} {
		if err := unix.Close(fd); err != nil && !errors.Is(err, unix.EBADF) {
			return fmt.Errorf("close descriptor %d: %w", fd, err)
		}
	}
	return inherited.Close(firstOther)
}

// readJob waits until the shim has done what it has to, and closes the pipe.
func readJob() (*compilejob.Job, error) {
	file := os.NewFile(compilejob.FDJob, "job")
	defer file.Close()
	j, err := compilejob.Decode(file)
	if errors.Is(err, io.EOF) {
		return nil, ErrShimGone
	}
	return j, err
}

// shimAlive finds a shim that ended before the kernel was asked to tell.
func shimAlive() bool {
	fds := []unix.PollFd{{Fd: compilejob.FDResult}}
	_, err := unix.Poll(fds, 0)
	return err != nil || fds[0].Revents&unix.POLLERR == 0
}
