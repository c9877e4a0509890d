// Package gateway is what lies between the server that answers requests by CGI and the
// runner that has the program: neither imports the other, so that a runner which serves
// nobody has nothing to do with HTTP.
package gateway

import (
	"errors"
	"io"
	"os"
	"time"
)

// ErrNoRoom is wrapped by the error of Program.Instance if the container's memory limit
// leaves no room for one more. It may when another one has ended.
var ErrNoRoom = errors.New("no memory for one more instance of the program")

// Program is the guest's module. It may be called by several at once.
type Program interface {
	// Instance makes one that is ready to run.
	Instance() (Instance, error)
}

// Instance runs once. Either Run or Discard has to be called, and both files be closed
// by the caller, at any time.
type Instance interface {
	// Stdin is where to write what it reads, Stdout is where to read what it writes.
	// Both wait by way of Go's poller, and have deadlines.
	Stdin() *os.File
	Stdout() *os.File
	// Run runs it to its end, with an environment of KEY=VALUE, and returns its exit
	// status. The error is a phrase about what ended it otherwise ("it trapped: …"). When
	// it returns, all that the instance had open is closed, and its memory is free.
	Run(env []string) (status int, err error)
	// Discard is for one that is not going to run.
	Discard()
}

// Server answers requests.
type Server interface {
	// Serve answers them until Shutdown, or an error that leaves nothing to be done.
	Serve(Program) error
	// Shutdown lets no more connections in, and returns when those that wait for an
	// answer have it.
	Shutdown()
}

// Options are the bounds of a server.
type Options struct {
	// Workers is how many instances run at a time.
	Workers int
	// Patience is for how long nothing may happen between a client and its instance.
	Patience time.Duration
	// Connections is how many may be open at a time.
	Connections int
	// Env is the container's own environment, as KEY=VALUE.
	Env []string
	// Log gets a line for each request that could not be answered.
	Log io.Writer
	// GiveUp is called, with a line for the log, when an instance can be ended by
	// nothing but the end of the process. It does not return.
	GiveUp func(line string)
	// Guard ends the process after a time, whatever the process does meanwhile, unless it
	// is called again before; 0 is never.
	Guard func(after time.Duration)
	// Idle is called when there have been no requests for a while.
	Idle func()
}

// Open makes a server of listening sockets, before the process is locked in. The files
// are handed over. The error is a sentence.
type Open func(listeners []*os.File, o Options) (Server, error)
