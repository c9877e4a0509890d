package stdio

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// relayRetry is how long a file is left alone whose disk is full: what the process
	// writes waits in the pipe meanwhile.
	relayRetry = 500 * time.Millisecond
	// relayDrain is how long Close waits for a disk to take what has been written.
	relayDrain = 10 * time.Second
)

// relay appends what a process writes to a regular file. The process has only a pipe: with
// the file it could change what is there already, or take the disk of the host in one call
// (fallocate), however it was opened.
type relay struct {
	file, in *os.File
	warn     func(error)
	warned   bool
	// writing tells that not all has been written that was read.
	writing atomic.Bool
	done    chan struct{} // closed when nothing more comes
}

// relayed returns what a process is to have instead of f, which it takes over: f itself
// unless that is a regular file.
func (s *Streams) relayed(c Config, f *os.File) (_ *os.File, err error) {
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() {
		return f, err
	}
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return f, os.NewSyscallError("pipe2", err)
	}
	out := os.NewFile(uintptr(ends[1]), f.Name()) // blocks: the process is not prepared for it
	if err = unix.SetNonblock(ends[0], true); err == nil && (c.UID != 0 || c.GID != 0) {
		err = out.Chown(c.UID, c.GID) // see Config.UID
	}
	if err != nil {
		unix.Close(ends[0])
		out.Close()
		return f, err
	}
	r := &relay{file: f, in: os.NewFile(uintptr(ends[0]), f.Name()), warn: c.Warn, done: make(chan struct{})}
	s.relays = append(s.relays, r)
	go r.run(s.closing)
	return out, nil
}

func (r *relay) run(closing <-chan struct{}) {
	defer close(r.done)
	defer r.in.Close()
	defer r.file.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := r.in.Read(buffer)
		r.writing.Store(true)
		if !r.append(buffer[:n], closing) || err != nil {
			return
		}
		r.writing.Store(false)
	}
}

// append returns false if there was no room until the streams were closed. What cannot be
// written for another reason is lost, as the process could not do anything about it either.
func (r *relay) append(b []byte, closing <-chan struct{}) bool {
	for {
		n, err := r.file.Write(b)
		b = b[n:]
		switch {
		case err == nil:
			return true
		case !errors.Is(err, unix.ENOSPC) && !errors.Is(err, unix.EDQUOT):
			r.complain(fmt.Errorf("output is lost: %w", err))
			return true
		}
		r.complain(fmt.Errorf("output waits for room: %w", err))
		select {
		case <-closing:
			return false
		case <-time.After(relayRetry):
		}
	}
}

// complain does so once.
func (r *relay) complain(err error) {
	if r.warn != nil && !r.warned {
		r.warn(err)
	}
	r.warned = true
}

// flush is for after the end of the process. It waits until the file has what was written,
// for lastWords at most.
func (r *relay) flush() bool {
	select {
	case <-r.done:
		return true
	case <-time.After(lastWords):
		return false
	}
}

// drain is flush, but has patience with a disk that is slow or full. Somebody else may have
// the pipe, too, and has written nothing lately.
func (r *relay) drain() {
	for end := time.Now().Add(relayDrain); !r.flush() && r.busy() && time.Now().Before(end); {
	}
}

// busy tells whether something is to be written.
func (r *relay) busy() bool {
	raw, err := r.in.SyscallConn()
	if err != nil {
		return false // it has been closed
	}
	waiting := 0
	err = raw.Control(func(fd uintptr) { waiting, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	return err == nil && (waiting > 0 || r.writing.Load())
}

// close is for when closing is closed. It waits for no longer than flush: the file may be
// on a server that does not answer.
func (r *relay) close() {
	_ = r.in.SetReadDeadline(time.Unix(1, 0))
	r.flush()
}
