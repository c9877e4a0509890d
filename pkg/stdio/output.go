package stdio

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// A reader that is late is looked for in pauses that double.
	firstLook = time.Millisecond
	lastLook  = time.Second
)

// output is a FIFO that a process writes to.
type output struct {
	path string
	// keeper is a read end: see the package's documentation. It is no os.File, which would
	// wake the shim at every write of the process.
	keeper int
	// met tells whether another reader had it open, or was about to, when the process got it.
	met bool
}

// openFIFO opens a FIFO for a process to write to, or returns nil if path is something
// else. It does not wait for a reader.
func openFIFO(path string) (_ *output, _ *os.File, retErr error) {
	// First, while there is no reader of ours.
	w, err := openBare(path, unix.O_WRONLY|unix.O_NONBLOCK)
	met := err == nil
	if err != nil && !errors.Is(err, unix.ENXIO) {
		return nil, nil, err
	}
	defer func() {
		if retErr != nil && w >= 0 {
			unix.Close(w)
		}
	}()
	keeper, err := openBare(path, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if retErr != nil {
			unix.Close(keeper)
		}
	}()
	var st unix.Stat_t
	if err := unix.Fstat(keeper, &st); err != nil {
		return nil, nil, os.NewSyscallError("fstat", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFIFO {
		unix.Close(keeper)
		unix.Close(w)
		return nil, nil, nil
	}
	if !met {
		if w, err = openBare(path, unix.O_WRONLY|unix.O_NONBLOCK); err != nil {
			return nil, nil, err
		}
	}
	if err := unix.SetNonblock(w, false); err != nil { // the process is not prepared for it
		return nil, nil, os.NewSyscallError("fcntl", err)
	}
	return &output{path, keeper, met}, os.NewFile(uintptr(w), path), nil
}

func (o *output) close() {
	if o.keeper >= 0 {
		unix.Close(o.keeper)
		o.keeper = -1
	}
}

// read tells whether a reader has, or will get, all there is to read. Only the end of the
// process is unknown to one that was met.
func (o *output) read() bool {
	if !o.met || o.keeper < 0 {
		return false
	}
	n, err := unix.IoctlGetInt(o.keeper, unix.TIOCINQ)
	return err == nil && n == 0
}

// meets tells whether another one has it open for reading now, or waits for that. A writer
// has to be there, or what nobody has read is lost.
func (o *output) meets() bool {
	o.close()
	probe, err := openBare(o.path, unix.O_WRONLY|unix.O_NONBLOCK)
	if err == nil {
		defer unix.Close(probe)
	}
	if keeper, err := openBare(o.path, unix.O_RDONLY|unix.O_NONBLOCK); err == nil {
		o.keeper = keeper
	}
	return !errors.Is(err, unix.ENXIO) // where there is no FIFO any more nobody will come
}

// await keeps the FIFO open for writing, as w, until a reader comes or stop is closed.
func (o *output) await(w int, stop <-chan struct{}) {
	defer unix.Close(w)
	for pause := firstLook; ; pause = min(2*pause, lastLook) {
		select {
		case <-time.After(pause):
		case <-stop:
			return
		}
		if o.meets() {
			return
		}
	}
}

// awaitReaders is for after the end of the process. containerd and its clients open FIFOs
// in the background, and that waits until there is a writer. A process may have ended
// before: the reader would wait for ever, and never see what was written.
func (s *Streams) awaitReaders() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	for _, o := range s.outputs {
		if o.read() {
			continue
		}
		w, err := openBare(o.path, unix.O_WRONLY|unix.O_NONBLOCK)
		if err != nil {
			continue // it is gone, and so are its readers
		}
		if o.meets() {
			unix.Close(w)
			continue
		}
		s.late.Go(func() { o.await(w, s.closing) })
	}
}

// openPath opens a FIFO for writing, or appends to a file.
func (s *Streams) openPath(path string, uid, gid int) (*os.File, error) {
	o, w, err := openFIFO(path)
	if err != nil {
		return nil, err
	}
	if o == nil {
		return openFlags(path, unix.O_WRONLY|unix.O_APPEND)
	}
	s.outputs = append(s.outputs, o)
	if uid != 0 || gid != 0 {
		if err := w.Chown(uid, gid); err != nil {
			w.Close()
			return nil, fmt.Errorf("give the FIFO to the container's user: %w", err)
		}
	}
	return w, nil
}

// openBare opens a file that is not for Go's poller.
func openBare(path string, flags int) (fd int, err error) {
	for {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return -1, &fs.PathError{Op: "open", Path: path, Err: err}
		}
		return fd, nil
	}
}
