package shim

import (
	"io"
	"os"
	"runtime/debug"
	"strconv"

	"github.com/containerd/log"
	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
)

// openLog returns a logger to the FIFO "log" in the bundle, which containerd
// reads and makes part of its own log. A reader that hangs costs lines, never a
// request: the FIFO is written without blocking.
func openLog(c Config) (*log.Entry, error) {
	l := logrus.New()
	l.SetOutput(logOutput())
	l.SetFormatter(&logrus.TextFormatter{TimestampFormat: log.RFC3339NanoFixed, FullTimestamp: true})
	if c.Debug {
		l.SetLevel(logrus.DebugLevel)
	}
	return l.WithFields(logrus.Fields{"runtime": "io.containerd.wazero.v1", "shim": strconv.Itoa(os.Getpid())}), nil
}

func logOutput() io.Writer {
	// Read and write: the open succeeds, and stays good, without a reader.
	fd, err := unix.Open("log", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return io.Discard
	}
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO {
		unix.Close(fd)
		return io.Discard
	}
	// The stack of a crash goes there too: stderr is /dev/null.
	f := os.NewFile(uintptr(fd), "log")
	_ = debug.SetCrashOutput(f, debug.CrashOptions{})
	return lossyWriter{f, fd}
}

// lossyWriter writes what fits: a line of the log is at most PIPE_BUF long, or
// may be torn.
type lossyWriter struct {
	file *os.File // owns fd
	fd   int
}

func (w lossyWriter) Write(p []byte) (int, error) {
	_, _ = unix.Write(w.fd, p) // EAGAIN: nobody reads
	return len(p), nil
}
