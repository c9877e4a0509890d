package stdio

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// relayRetry is how long a file that cannot be written to is left alone: its disk may be
// full, and what the process writes waits in the pipe meanwhile.
const relayRetry = 500 * time.Millisecond

// relay appends what a process writes to a regular file. The process has only a pipe: with
// the file it could change what is there already, or take the disk of the host in one call
// (fallocate), however it was opened.
type relay struct {
	file, in *os.File
	done     chan struct{} // closed when nothing more comes
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
	r := &relay{f, os.NewFile(uintptr(ends[0]), f.Name()), make(chan struct{})}
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
		if !r.append(buffer[:n], closing) || err != nil {
			return
		}
	}
}

// append returns false if it was not to be until the streams are closed.
func (r *relay) append(b []byte, closing <-chan struct{}) bool {
	for {
		n, err := r.file.Write(b)
		if b = b[n:]; len(b) == 0 && err == nil {
			return true
		}
		select {
		case <-closing:
			return false
		case <-time.After(relayRetry):
		}
	}
}

// flush is for after the end of the process. It waits until the file has what was written,
// for lastWords at most if somebody else has the pipe, too.
func (r *relay) flush() {
	select {
	case <-r.done:
	case <-time.After(lastWords):
	}
}

// close is for when closing is closed. It waits for no longer than flush: the file may be
// on a server that does not answer.
func (r *relay) close() {
	_ = r.in.SetReadDeadline(time.Unix(1, 0))
	r.flush()
}
