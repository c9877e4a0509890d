package launcher

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/memfd"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/oci"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/selfexe"
)

// Handoff is what passes between the shim and one runner: the files that the
// runner inherits and the control socket. Its methods are called one after the
// other, except OutOfMemory, Stop and Close.
type Handoff struct {
	files   []*os.File // the runner's, in the order of their descriptors from 3 on
	module  *os.File   // for a runner that has closed its own
	conn    net.Conn
	control *job.Control
	source  CodeSource // of the code that the runner got
	sent    job.Order  // the last one about code
	loaded  Loaded

	answers     chan job.Report // about the module; closed when no more will come
	nonsense    error           // why none will come, if the runner lives; set before answers is closed
	ended       chan struct{}   // closed when the runner's end of the socket is
	outOfMemory atomic.Bool

	graceful  bool        // the guest may serve its connections first, see Stop
	stoppable atomic.Bool // it runs, and has not been told to stop
}

// maxAnswers is how often a runner answers at most: that its room is prepared, that
// it is in it, that the code is stale, that its replacement is, and what it made of
// the module by itself.
const maxAnswers = 5

// NewHandoff prepares the files for a Wasm plan. The plan's module stays the
// caller's.
func NewHandoff(plan *oci.Plan) (_ *Handoff, retErr error) {
	h := &Handoff{answers: make(chan job.Report, maxAnswers), ended: make(chan struct{}), graceful: plan.Job.Graceful}
	defer func() {
		if retErr != nil {
			h.Close()
		}
	}()
	binary, err := openBinary(plan.Job)
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
	if h.module, err = duplicate(plan.Module); err != nil {
		return nil, err
	}
	module, err := duplicate(plan.Module)
	if err != nil {
		return nil, err
	}
	h.files = append(h.files, module)
	go h.listen()
	return h, nil
}

// openBinary opens the program of a runner.
func openBinary(j *job.Job) (*os.File, error) {
	if j.CGI == nil {
		return selfexe.Open()
	}
	f, err := selfexe.OpenBeside(job.ServerProgram)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the container answers requests by CGI, for which a program is missing: install %s where the shim is: %w: %w", job.ServerProgram, err, errdefs.ErrFailedPrecondition)
	}
	return f, err
}

func duplicate(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("dup", err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
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
	h.control = job.NewControl(h.conn.(*net.UnixConn))
	return nil
}

func jobMemfd(j *job.Job) (*os.File, error) {
	data, err := j.Encode()
	if err != nil {
		return nil, err
	}
	f, err := memfd.New("job")
	if err != nil {
		return nil, err
	}
	if _, err := f.WriteAt(data, 0); err != nil {
		f.Close()
		return nil, fmt.Errorf("write job: %w", err)
	}
	if err := memfd.Seal(f); err != nil {
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

// Enter tells the runner to make its room, or to join the one that root is the root
// of; root stays the caller's. Entered waits for the result. Between the two the
// code may be provided.
func (h *Handoff) Enter(root *os.File) error { return h.control.Send(job.Enter, root) }

// Prepared waits until the runner has mounted everything, for a room with hooks,
// and Proceed lets it go on. Both come between Enter and Provide.
func (h *Handoff) Prepared(ctx context.Context) error {
	_, err := h.expect(ctx, job.Prepared)
	return err
}

// Proceed lets a runner go on that is prepared.
func (h *Handoff) Proceed() error { return h.control.Send(job.Proceed, nil) }

// Entered waits until the runner is in its room, and returns what it warns of.
func (h *Handoff) Entered(ctx context.Context) (warning string, err error) {
	return h.expect(ctx, job.Entered)
}

// expect waits for a report about the room.
func (h *Handoff) expect(ctx context.Context, kind job.ReportKind) (message string, err error) {
	r, err := h.answer(ctx)
	switch {
	case err != nil:
		return "", err
	case r.Kind == job.Failed:
		return "", errors.New(r.Message)
	case r.Kind != kind:
		return "", fmt.Errorf("%w: %q where %q is due", job.ErrNonsense, r.Kind, kind)
	}
	return r.Message, nil
}

// answer waits for the next report about the module, or the end of the runner.
func (h *Handoff) answer(ctx context.Context) (job.Report, error) {
	select {
	case r, ok := <-h.answers:
		switch {
		case !ok && h.nonsense != nil:
			return r, h.nonsense
		case !ok:
			return r, errRunnerGone
		}
		return r, nil
	case <-ctx.Done():
		return job.Report{}, ctx.Err()
	}
}

// Run tells the runner to go and waits until it is ready to; Provide has been
// called. A runner that finds its code stale gets other code, once, and then has
// to compile by itself. The error is a sentence for the user if the module cannot
// run.
func (h *Handoff) Run(ctx context.Context) error {
	_ = h.control.Send(job.Go, nil) // a runner that has ended already may have said why
	for {
		r, err := h.answer(ctx)
		switch {
		case err != nil:
			return err
		case r.Kind == job.Ready:
			h.loaded.Code, h.loaded.Time = r.Code, time.Duration(r.Load*float64(time.Millisecond))
			h.closeModule()
			h.stoppable.Store(h.graceful)
			return nil
		case r.Kind == job.Failed:
			return fmt.Errorf("%s: %w", r.Message, errdefs.ErrInvalidArgument)
		case r.Kind == job.OutOfMemory:
			return errors.New("not enough memory to load the module: raise the container's memory limit")
		case r.Kind != job.Stale:
			return fmt.Errorf("%w: %q about a module", job.ErrNonsense, r.Kind)
		}
		if err := h.replace(ctx, r.Message); err != nil {
			return err
		}
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
	defer close(h.answers)
	for answers := 0; ; {
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
		if answers < maxAnswers {
			h.answers <- r // there is room for all of them
			answers++
		}
	}
}

// Stop lets a guest end by itself as by the signal, when it has served its
// connections. It tells whether it will, which it is not asked twice.
func (h *Handoff) Stop(sig unix.Signal) bool {
	order, ok := stopOrders[sig]
	return ok && h.stoppable.Swap(false) && h.control.Send(order, nil) == nil
}

// asks tells whether Stop would do anything.
func (h *Handoff) asks(sig unix.Signal) bool {
	_, ok := stopOrders[sig]
	return ok && h.stoppable.Load()
}

var stopOrders = map[unix.Signal]job.Order{unix.SIGTERM: job.Terminate, unix.SIGINT: job.Interrupt}

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
	h.closeModule()
	if h.conn != nil {
		h.conn.Close()
	}
}
