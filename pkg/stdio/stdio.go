// Package stdio connects a container's standard streams to what containerd
// names in Create and Exec: FIFOs, files, a logging program, nothing, or a
// terminal (containerd docs/runtime-v2.md, "IO").
//
// Without a terminal the container's process holds the ends of its output itself:
// no byte of it passes through the shim, and what was written is there even if
// the shim dies. It is different with regular files: see relay. The shim keeps a read end of each output FIFO, so that a reader
// that goes away (a containerd restart) neither kills the writer nor loses what
// is in the pipe. One that comes after the process has ended finds its output, and its end. Input comes through a pipe that the shim feeds: see stdin.
package stdio

import (
	"errors"
	"fmt"
	"os"
	"sync"
)

// Config names the streams of one process.
type Config struct {
	// Stdin, Stdout and Stderr are "" (none), a path (FIFO or file) or a URI
	// with the scheme fifo, file or binary.
	Stdin, Stdout, Stderr string
	// Terminal makes the process's streams one pseudo terminal; Stderr is then
	// unused.
	Terminal bool
	// ContainerID and Namespace are for logging programs.
	ContainerID, Namespace string
	// UID and GID are the host's ids of the process's user: the owner that
	// output FIFOs get, so that /dev/stdout can be opened again by it.
	UID, GID int
	// Start starts a logging program.
	Start StartFunc
	// Alone calls f while none of this process's children is on its way to its program,
	// with copies of all descriptors; nil if there are none.
	Alone func(f func())
	// Warn is told what is wrong with a file that output is appended to; it may be nil.
	Warn func(error)
}

// Streams are the open streams of one process.
type Streams struct {
	in, out, err *os.File // the process's ends; closed after its start
	stdin        *stdin   // a client's FIFO; nil without one
	pipe         *os.File // where stdin goes to, unless that is a terminal
	outputs      []*output
	relays       []*relay
	alone        func(f func())
	logger       *logger
	term         *terminal // with Config.Terminal

	mu      sync.Mutex // with the following: Close may come at any time
	closed  bool
	closing chan struct{} // closed by Close
	late    sync.WaitGroup
}

// Open opens all streams. Nothing blocks: FIFOs are opened whether or not the
// other end is there.
func Open(c Config) (_ *Streams, retErr error) {
	s := &Streams{closing: make(chan struct{}), alone: c.Alone}
	if s.alone == nil {
		s.alone = func(f func()) { f() }
	}
	defer func() {
		if retErr != nil {
			s.Close()
		}
	}()
	if c.Terminal {
		return s, s.openTerminal(c)
	}
	if err := s.openStdin(c); err != nil {
		return nil, fmt.Errorf("open stdin %q: %w", c.Stdin, err)
	}
	if err := s.openOutputs(c); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Streams) openOutputs(c Config) error {
	out, err := s.openOutput(c, c.Stdout, "stdout")
	if err != nil {
		return fmt.Errorf("open stdout %q: %w", c.Stdout, err)
	}
	if s.out, err = s.relayed(c, out); err != nil {
		return fmt.Errorf("open stdout %q: %w", c.Stdout, err)
	}
	switch {
	case s.logger != nil:
		s.err, err = s.logger.stderr()
	case c.Stderr != "" && c.Stderr == c.Stdout:
		s.err, err = dup(s.out)
	default:
		if s.err, err = s.openOutput(c, c.Stderr, "stderr"); err == nil {
			s.err, err = s.relayed(c, s.err)
		}
	}
	if err != nil {
		return fmt.Errorf("open stderr %q: %w", c.Stderr, err)
	}
	return nil
}

// Files are the ends for the process to inherit; nil with a terminal.
func (s *Streams) Files() (stdin, stdout, stderr *os.File) { return s.in, s.out, s.err }

// ProcessStarted closes the ends that the process has inherited. It must be
// called once the process holds them, or its exit would not end the streams.
func (s *Streams) ProcessStarted() {
	closeAll(&s.in, &s.out, &s.err)
	if s.logger != nil {
		s.logger.started()
	}
}

// CloseStdin lets stdin end when its other writers have closed it (CloseIO).
func (s *Streams) CloseStdin() {
	if s.stdin != nil {
		s.stdin.end()
	}
}

// Ended is to be called when the process has ended, and before that is told. It waits until
// all output has been taken: at most terminalDrain for a terminal's, lastWords for others'.
// What is left then is there for readers that come later.
func (s *Streams) Ended() {
	if s.term != nil {
		s.term.drain()
	}
	for _, r := range s.relays {
		r.flush()
	}
	s.awaitReaders()
}

// Close gives everything back. With a terminal, a file or a logging program it waits,
// for a bounded time, until all output has arrived.
func (s *Streams) Close() {
	closeAll(&s.in, &s.out, &s.err)
	if s.pipe != nil {
		s.pipe.Close() // not forgotten: Feed's goroutine closes it too
	}
	if s.stdin != nil {
		s.stdin.close()
	}
	if s.term != nil {
		s.term.close()
	}
	if s.logger != nil {
		s.logger.close()
	}
	for _, r := range s.relays {
		r.drain()
	}
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.closing)
	}
	s.mu.Unlock()
	for _, r := range s.relays {
		r.close()
	}
	s.late.Wait()
	for _, o := range s.outputs {
		o.close()
	}
}

// closeAll closes the files that are open and forgets them.
func closeAll(files ...**os.File) {
	for _, f := range files {
		if *f != nil {
			(*f).Close()
			*f = nil
		}
	}
}

var errScheme = errors.New("unknown STDIO scheme (known are fifo, file and binary)")
