package stdio

import (
	"io"
	"os"
	"sync"
)

// stdin brings what a client writes into a FIFO to the process.
//
// The FIFO is opened when the process starts, and not before: until then the
// client waits in its open. A client that reaches the end of its own input while
// Create is under way would say CloseIO for a task that it does not have yet, or
// forget to (ctr does), and the process would wait for more for ever.
type stdin struct {
	path string

	mu     sync.Mutex
	fifo   *os.File
	keeper *os.File // write end: only CloseIO ends stdin, not the last writer
	closed bool     // CloseIO came before the FIFO was open
}

// feed opens the FIFO and copies it to sink, until its end. atEnd is called
// then.
func (i *stdin) feed(sink io.Writer, atEnd func()) error {
	fifo, keeper, err := openStdinFIFO(i.path)
	if err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.fifo, i.keeper = fifo, keeper
	if i.closed {
		closeAll(&i.keeper)
	}
	go func() {
		_, _ = io.Copy(sink, fifo) // ends also when either file is closed
		atEnd()
	}()
	return nil
}

// end lets stdin end when its other writers have closed it.
func (i *stdin) end() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.closed = true
	closeAll(&i.keeper)
}

func (i *stdin) close() {
	i.end()
	i.mu.Lock()
	defer i.mu.Unlock()
	closeAll(&i.fifo)
}

// openStdin sets the process's end of stdin: nothing, a file, or a pipe that is
// fed from a FIFO.
func (s *Streams) openStdin(c Config) (err error) {
	if c.Stdin == "" {
		s.in, err = os.Open(os.DevNull)
		return err
	}
	st, err := os.Stat(c.Stdin)
	if err != nil {
		return err
	}
	if st.Mode()&os.ModeNamedPipe == 0 {
		s.in, err = os.Open(c.Stdin)
		return err
	}
	if s.in, s.pipe, err = os.Pipe(); err != nil {
		return err
	}
	s.stdin = &stdin{path: c.Stdin}
	return s.in.Chown(c.UID, c.GID) // for /dev/stdin
}

// Feed starts to take stdin from the client; it is called when the process
// starts.
func (s *Streams) Feed() error {
	switch {
	case s.stdin == nil:
		return nil
	case s.term != nil:
		return s.stdin.feed(s.term.input(), func() {})
	default:
		return s.stdin.feed(s.pipe, func() { s.pipe.Close() })
	}
}
