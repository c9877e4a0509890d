package launcher

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/oci"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/selfexe"
)

// Handoff is what passes between the shim and one runner: the files that the
// runner inherits and the control socket.
type Handoff struct {
	files   []*os.File // the runner's, in the order of their descriptors from 3 on
	conn    net.Conn
	control *job.Control

	first       chan job.Report // the runner's answer to Go; closed when there is none
	nonsense    error           // why there is none, if the runner lives; set before first is closed
	ended       chan struct{}   // closed when the runner's end of the socket is
	outOfMemory atomic.Bool
}

// NewHandoff prepares the files for a Wasm plan. The plan's module stays the
// caller's.
func NewHandoff(plan *oci.Plan) (_ *Handoff, retErr error) {
	h := &Handoff{first: make(chan job.Report, 1), ended: make(chan struct{})}
	defer func() {
		if retErr != nil {
			h.Close()
		}
	}()
	binary, err := selfexe.Open()
	if err != nil {
		return nil, err
	}
	h.files = append(h.files, binary)
	if err := h.openSocket(); err != nil {
		return nil, err
	}
	jobFile, err := jobMemfd(plan.Job)
	if err != nil {
		return nil, err
	}
	h.files = append(h.files, jobFile)
	module, err := unix.FcntlInt(plan.Module.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("dup", err)
	}
	h.files = append(h.files, os.NewFile(uintptr(module), plan.Module.Name()))
	go h.listen()
	return h, nil
}

func (h *Handoff) openSocket() error {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socketpair", err)
	}
	h.files = append(h.files, os.NewFile(uintptr(fds[1]), "control"))
	ours := os.NewFile(uintptr(fds[0]), "control")
	defer ours.Close()
	if h.conn, err = net.FileConn(ours); err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	h.control = job.NewControl(h.conn)
	return nil
}

func jobMemfd(j *job.Job) (*os.File, error) {
	data, err := j.Encode()
	if err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("job", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), "job")
	if _, err := f.WriteAt(data, 0); err != nil {
		f.Close()
		return nil, fmt.Errorf("write job: %w", err)
	}
	if err := selfexe.Seal(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Files are the files for the runner to inherit, from descriptor 3 on.
func (h *Handoff) Files() []*os.File { return h.files }

// Inherited closes the shim's copies of the runner's files; without it the end
// of the runner would not end the control socket.
func (h *Handoff) Inherited() {
	for _, f := range h.files {
		f.Close()
	}
	h.files = nil
}

// Run tells the runner to go and waits until it is ready to. The error is a
// sentence for the user if the module cannot run.
func (h *Handoff) Run(ctx context.Context) error {
	_ = h.control.Go() // a runner that has ended already may have said why
	var r job.Report
	var ok bool
	select {
	case r, ok = <-h.first:
	case <-ctx.Done():
		return ctx.Err()
	}
	switch {
	case !ok && h.nonsense != nil:
		return h.nonsense
	case !ok:
		return errRunnerGone
	case r.Kind == job.Ready:
		return nil
	case r.Kind == job.Failed:
		return fmt.Errorf("%s: %w", r.Message, errdefs.ErrInvalidArgument)
	default:
		return errors.New("not enough memory to load the module: raise the container's memory limit")
	}
}

// errRunnerGone is Run's error if the runner ended without saying why; whoever
// knows its exit status says more.
var errRunnerGone = errors.New("the runner ended before the module was loaded")

// IsRunnerGone tells that Run failed because the runner had ended.
func IsRunnerGone(err error) bool { return errors.Is(err, errRunnerGone) }

// listen takes the runner's reports until its end.
func (h *Handoff) listen() {
	defer close(h.ended)
	defer close(h.first)
	for answered := false; ; answered = true {
		r, err := h.control.ReadReport()
		if err != nil {
			if errors.Is(err, job.ErrNonsense) {
				h.nonsense = err
			}
			return
		}
		if r.Kind == job.OutOfMemory {
			h.outOfMemory.Store(true)
		}
		if !answered {
			h.first <- r
		}
	}
}

// OutOfMemory is called after the runner's end: did the guest end because it
// was refused memory at the container's limit?
func (h *Handoff) OutOfMemory() bool {
	select {
	case <-h.ended:
	case <-time.After(time.Second): // a process that it left behind holds the socket
	}
	return h.outOfMemory.Load()
}

// Close gives everything back; the runner, if it waits, ends.
func (h *Handoff) Close() {
	h.Inherited()
	if h.conn != nil {
		h.conn.Close()
	}
}
