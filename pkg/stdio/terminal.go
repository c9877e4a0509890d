package stdio

import (
	"fmt"
	"io"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/containerd/console"
	"golang.org/x/sys/unix"
)

// terminalDrain is how long Ended waits for a reader of a terminal's output
// after its process has ended.
const terminalDrain = 10 * time.Second

// terminal copies between a pseudo terminal and the streams of the client: the
// only bytes that pass through the shim.
type terminal struct {
	stdout *os.File // to the client

	mu     sync.Mutex
	master *os.File
	size   *console.WinSize // asked for before the terminal existed

	copied chan struct{} // closed when the output is copied; nil until attached
}

func (s *Streams) openTerminal(c Config) (err error) {
	t := &terminal{}
	s.term = t
	if c.Stdin != "" {
		if _, err := os.Stat(c.Stdin); err != nil {
			return fmt.Errorf("open stdin %q: %w", c.Stdin, err)
		}
		s.stdin = &stdin{path: c.Stdin}
	}
	if t.stdout, err = s.openTerminalOutput(c); err != nil {
		return fmt.Errorf("open stdout %q: %w", c.Stdout, err)
	}
	return nil
}

// openTerminalOutput opens FIFOs so that Go's poller serves them: a reader that
// does not read costs a goroutine, not a thread.
func (s *Streams) openTerminalOutput(c Config) (*os.File, error) {
	if u, err := url.Parse(c.Stdout); err == nil && (u.Scheme == "" || u.Scheme == "fifo") && u.Path != "" {
		f, err := s.openPath(u.Path, 0, 0)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return openFlags(u.Path, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_APPEND)
	}
	return s.openOutput(c, c.Stdout, "stdout")
}

// Attach starts copying from and to the terminal whose master is given; it
// takes the master over. Only for Config.Terminal.
func (s *Streams) Attach(master console.Console) error {
	defer master.Close()
	fd, err := unix.FcntlInt(master.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("dup", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return os.NewSyscallError("set nonblocking", err)
	}
	s.term.attach(os.NewFile(uintptr(fd), "ptmx"))
	return nil
}

func (t *terminal) attach(master *os.File) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.master = master
	t.copied = make(chan struct{})
	if t.size != nil {
		_ = resize(master, *t.size)
	}
	go func() {
		defer close(t.copied)
		_, _ = io.Copy(t.stdout, master) // EIO when the last process has closed it
	}()
}

// Resize sets the terminal's size in characters; without a terminal it does
// nothing. It may be called before the terminal exists.
func (s *Streams) Resize(width, height uint32) error {
	if s.term == nil {
		return nil
	}
	t := s.term
	size := console.WinSize{Width: uint16(min(width, 1<<16-1)), Height: uint16(min(height, 1<<16-1))}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.size = &size
	if t.master == nil {
		return nil
	}
	return resize(t.master, size)
}

func resize(master *os.File, size console.WinSize) error {
	raw, err := master.SyscallConn() // Fd would make the file blocking
	if err != nil {
		return err
	}
	var ioctlErr error
	err = raw.Control(func(fd uintptr) {
		ioctlErr = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: size.Height, Col: size.Width})
	})
	if err == nil {
		err = ioctlErr
	}
	if err != nil {
		return fmt.Errorf("resize terminal: %w", err)
	}
	return nil
}

// input is where the client's input goes; only once attached.
func (t *terminal) input() io.Writer {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.master
}

// drain waits for the output of an ended process. The output FIFO is closed then, which
// tells the reader.
func (t *terminal) drain() {
	t.mu.Lock()
	copied, stdout := t.copied, t.stdout
	t.mu.Unlock()
	if copied != nil {
		select {
		case <-copied:
		case <-time.After(terminalDrain):
		}
	}
	if stdout != nil {
		stdout.Close()
	}
}

func (t *terminal) close() {
	t.drain()
	t.mu.Lock()
	defer t.mu.Unlock()
	closeAll(&t.master)
}
