package quick

import (
	"io/fs"
	"os"
	"path"
	"strconv"
	"syscall"
	"time"
)

// readFile reads a regular file of at most limit bytes. Of anything else it is not
// sure.
func readFile(name string, limit int) ([]byte, error) {
	fd, err := open(name, syscall.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer syscall.Close(fd)
	var st syscall.Stat_t
	if err := syscall.Fstat(fd, &st); err != nil || st.Mode&syscall.S_IFMT != syscall.S_IFREG {
		return nil, ErrUnsure
	}
	data, err := ReadAll(fd, int(min(st.Size, int64(limit)))+1, limit)
	if err != nil {
		return nil, ErrUnsure
	}
	return data, nil
}

// ReadAll reads a descriptor to its end, which must come after at most limit bytes.
// With an error comes what has been read.
func ReadAll(fd, expect, limit int) ([]byte, error) {
	data := make([]byte, 0, expect)
	for {
		if len(data) == cap(data) {
			data = append(data, 0)[:len(data)]
		}
		n, err := read(fd, data[len(data):cap(data)])
		if err != nil {
			return data, err
		}
		if n == 0 {
			return data, nil
		}
		data = data[:len(data)+n]
		if len(data) > limit {
			return data, ErrUnsure
		}
	}
}

func read(fd int, b []byte) (int, error) {
	for {
		n, err := syscall.Read(fd, b)
		if err != syscall.EINTR {
			return n, err
		}
	}
}

// WriteAll writes data to a descriptor that blocks.
func WriteAll(fd int, data []byte) error {
	for len(data) > 0 {
		n, err := syscall.Write(fd, data)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return os.NewSyscallError("write", err)
		}
		data = data[n:]
	}
	return nil
}

// replaceFile replaces the file with data in one step. It is readable by its owner
// only. The error is like that of bundle.WriteFile.
func replaceFile(name string, data []byte) error {
	unique := strconv.Itoa(os.Getpid()) + strconv.FormatInt(time.Now().UnixNano(), 36)
	temporary := path.Dir(name) + "/." + path.Base(name) + "-" + unique
	if err := replace(name, temporary, data); err != nil {
		return &failure{"write " + name, err}
	}
	return nil
}

func replace(name, temporary string, data []byte) error {
	fd, err := open(temporary, syscall.O_WRONLY|syscall.O_CREAT|syscall.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = WriteAll(fd, data)
	if closeErr := syscall.Close(fd); err == nil && closeErr != nil {
		err = os.NewSyscallError("close", closeErr)
	}
	// No fsync: a bundle does not outlive a reboot.
	if err == nil {
		err = os.Rename(temporary, name)
	}
	if err != nil {
		_ = remove(temporary)
	}
	return err
}

// remove removes a file; os.Remove would try for a directory too when there is none.
func remove(name string) error {
	for {
		err := syscall.Unlink(name)
		if err == nil {
			return nil
		}
		if err != syscall.EINTR {
			return &fs.PathError{Op: "remove", Path: name, Err: err}
		}
	}
}

func open(name string, flags int, mode uint32) (int, error) {
	for {
		fd, err := syscall.Open(name, flags|syscall.O_CLOEXEC, mode)
		if err == nil {
			return fd, nil
		}
		if err != syscall.EINTR {
			return -1, &fs.PathError{Op: "open", Path: name, Err: err}
		}
	}
}
