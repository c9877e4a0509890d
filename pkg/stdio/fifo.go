package stdio

import (
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// openStdinFIFO opens path for reading without waiting for a writer. keeper is
// a write end if path is a FIFO.
func openStdinFIFO(path string) (in, keeper *os.File, err error) {
	in, err = openFlags(path, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return nil, nil, err
	}
	fifo, err := isFIFO(in)
	if err == nil && fifo {
		keeper, err = openFlags(path, unix.O_WRONLY|unix.O_NONBLOCK)
	}
	if err != nil {
		in.Close()
		return nil, nil, err
	}
	return in, keeper, nil
}

// openOutput opens one of stdout and stderr for writing.
func (s *Streams) openOutput(c Config, target, name string) (*os.File, error) {
	if target == "" {
		return os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	}
	u, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	switch u.Scheme {
	case "", "fifo":
		return s.openPath(u.Path, c.UID, c.GID)
	case "file":
		return openLogFile(u.Path)
	case "binary":
		if name != "stdout" {
			return nil, errors.New("a logging program is named by stdout and takes stderr too")
		}
		if s.logger, err = startLogger(c, u); err != nil {
			return nil, err
		}
		return s.logger.stdout()
	default:
		return nil, errScheme
	}
}

// openLogFile appends to path, which is made if need be (file://).
func openLogFile(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
}

// openFlags is os.OpenFile without its additions (O_NONBLOCK handling, retry).
func openFlags(path string, flags int) (*os.File, error) {
	fd, err := openBare(path, flags)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

func isFIFO(f *os.File) (bool, error) {
	st, err := f.Stat()
	if err != nil {
		return false, err
	}
	return st.Mode()&fs.ModeNamedPipe != 0, nil
}

func dup(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("dup", err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}
