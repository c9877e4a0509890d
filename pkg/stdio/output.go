package stdio

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// lastWords bounds how long the end of a process is kept back for a reader to take its
	// output: clients of containerd that hear of the end read no further.
	lastWords = 100 * time.Millisecond
	// Readers are looked for in pauses that double.
	firstLook = 50 * time.Microsecond
	lastLook  = time.Second
	// sureAfter is for how long there must have been a reader, or what looks like one: a
	// child on its way to its program, which for a moment has all that the shim has open.
	sureAfter = time.Millisecond
)

// output is a FIFO that a process writes to.
type output struct {
	path string
	// keeper is a read end: see the package's documentation. It is no os.File, which would
	// wake the shim at every write of the process.
	keeper int
	// met tells whether another reader has had it open, or was about to.
	met bool
	// seen is since when there seems to be another reader; zero if there is none.
	seen time.Time
	// linger is a write end that the shim has after the end of the process, or -1.
	linger int
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
	return &output{path: path, keeper: keeper, met: met, linger: -1}, os.NewFile(uintptr(w), path), nil
}

func (o *output) close() {
	for _, fd := range []*int{&o.keeper, &o.linger} {
		if *fd >= 0 {
			unix.Close(*fd)
			*fd = -1
		}
	}
}

// empty tells whether all that was written has been read.
func (o *output) empty() bool {
	n, err := unix.IoctlGetInt(o.keeper, unix.TIOCINQ)
	return err != nil || n == 0
}

// look is for after the end of the process, and asks for another reader: whether one has it
// open now, or waits for that. The write end lingers until there is one. It is gone if there
// is no FIFO any more, and nobody will come.
func (s *Streams) look(o *output) (there, gone bool) {
	if o.linger < 0 {
		linger, err := openBare(o.path, unix.O_WRONLY|unix.O_NONBLOCK)
		if err != nil {
			return false, errors.Is(err, fs.ErrNotExist)
		}
		o.linger = linger
	}
	var err error
	s.alone(func() { err = o.probe() })
	switch {
	case errors.Is(err, fs.ErrNotExist):
		o.letEnd() // for one that came before
		return false, true
	case err != nil:
		o.seen = time.Time{}
		return false, false
	case o.seen.IsZero():
		o.seen = time.Now()
		return false, false
	case time.Since(o.seen) < sureAfter:
		return false, false
	}
	o.met = true
	o.letEnd()
	return true, false
}

// letEnd has the reader find the end.
func (o *output) letEnd() {
	if o.linger >= 0 {
		unix.Close(o.linger)
	}
	o.linger, o.seen = -1, time.Time{}
}

// probe returns nil if there is another reader: without one a FIFO cannot be opened for
// writing. A reader that cannot be had again, as there are no descriptors, is left out
// until the next time.
func (o *output) probe() error {
	// Not for long: a child that the process has left would be killed if it wrote now.
	unix.Close(o.keeper)
	fd, err := openBare(o.path, unix.O_WRONLY|unix.O_NONBLOCK)
	if err == nil {
		unix.Close(fd)
	}
	var keeperErr error
	if o.keeper, keeperErr = openBare(o.path, unix.O_RDONLY|unix.O_NONBLOCK); keeperErr != nil {
		o.keeper = -1
		if errors.Is(keeperErr, fs.ErrNotExist) {
			return keeperErr
		}
	}
	return err
}

// awaitReaders is for after the end of the process. containerd and its clients open FIFOs
// in the background, and that waits until there is a writer. A process may have ended
// before: the reader would wait for ever, and never see what was written.
func (s *Streams) awaitReaders() {
	if !s.keepOpen() {
		return
	}
	late := s.lastLooks()
	if len(late) == 0 {
		s.late.Done()
		return
	}
	go func() {
		defer s.late.Done()
		for pause := time.Millisecond; len(late) > 0 && s.sleep(soonIf(late, pause)); pause = min(2*pause, lastLook) {
			late = slices.DeleteFunc(late, func(o *output) bool {
				there, gone := s.look(o)
				return there || gone
			})
		}
	}()
}

// keepOpen has Close wait for s.late.Done, unless it has come before.
func (s *Streams) keepOpen() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.late.Add(1)
	}
	return !s.closed
}

// lastLooks waits, for lastWords, until readers have come and have read everything. It
// returns the outputs that still have no reader.
func (s *Streams) lastLooks() (late []*output) {
	end := time.Now().Add(lastWords)
	for pause := firstLook; ; pause *= 2 {
		late = late[:0]
		wait := false
		for _, o := range s.outputs {
			if o.met && o.empty() {
				o.letEnd()
				continue
			}
			knew := o.met
			there, gone := s.look(o)
			if !there && !gone {
				late = append(late, o)
			}
			// One that has left does not come back so soon.
			wait = wait || !gone && (there || o.maybe() || !knew)
		}
		if !wait || time.Now().After(end) || !s.sleep(soonIf(late, pause)) {
			return late
		}
	}
}

// maybe tells whether there seems to be a reader, and one more look is needed.
func (o *output) maybe() bool { return !o.seen.IsZero() }

// soonIf is a pause, and no long one if it may turn out after sureAfter that a reader is
// there, which waits for the end.
func soonIf(late []*output, pause time.Duration) time.Duration {
	if slices.ContainsFunc(late, (*output).maybe) {
		return min(pause, sureAfter)
	}
	return pause
}

// sleep returns false at once when the streams are closed.
func (s *Streams) sleep(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-s.closing:
		return false
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
