package wasi

import (
	"errors"
	"fmt"
	"path"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi/preview1"
)

// coarse is the step of a clock that tells nothing about the CPU's caches.
const coarse = time.Millisecond

// Descriptors of the process (unistd.h).
const (
	stdin  = 0
	stdout = 1
	stderr = 2
)

// New returns what the guest of a job sees of its surroundings: arguments,
// environment, clocks, the process's stdio and the container's directories. plain
// tells that there are no magic links below the process's root (see package room).
// The error is a sentence.
func New(j *job.Job, plain bool) (*preview1.System, error) {
	return NewBetween(j, plain, stdin, stdout)
}

// NewBetween is New for a guest that reads and writes other descriptors than the
// process's, which are handed over unless there is an error.
func NewBetween(j *job.Job, plain bool, in, out int) (*preview1.System, error) {
	config := preview1.Config{Args: j.Args, Env: j.Env, Stdio: [3]int{in, out, -1}, Network: j.Network, Stoppable: j.Graceful && j.CGI == nil, SharedStderr: j.CGI != nil}
	if j.CoarseClock {
		config.Clock = coarse
	}
	// The process itself may have to say something at the end. It must not get into
	// a file that the guest has open in the place of standard error.
	var err error
	if config.Stdio[2], err = unix.FcntlInt(stderr, unix.F_DUPFD_CLOEXEC, stderr+1); err != nil {
		return nil, fmt.Errorf("duplicate standard error: %w", err)
	}
	ours := []int{config.Stdio[2]}
	for _, p := range j.Preopens {
		fd, err := openDirectory(p)
		if err != nil {
			closeAll(ours)
			return nil, err
		}
		ours = append(ours, fd)
		config.Preopens = append(config.Preopens, preview1.Preopen{
			FD: fd, Name: p.Guest, ReadOnly: p.ReadOnly,
			Confined: plain && path.Clean(p.Host) == "/",
		})
	}
	system, err := preview1.New(config)
	if err != nil {
		closeAll(ours)
	}
	return system, err
}

// openDirectory opens a directory of the container. One that cannot be listed can
// still be what paths begin at.
func openDirectory(p job.Preopen) (int, error) {
	const flags = unix.O_DIRECTORY | unix.O_CLOEXEC
	fd, err := unix.Open(p.Host, flags|unix.O_RDONLY, 0)
	if errors.Is(err, unix.EACCES) {
		fd, err = unix.Open(p.Host, flags|unix.O_PATH, 0)
	}
	if err != nil {
		return -1, fmt.Errorf("preopen %q: %w", p.Guest, err)
	}
	return fd, nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}
