// Package cgroupfs reads and writes the kernel's cgroup directories, of cgroup
// v1 and v2 alike.
package cgroupfs

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Root is where the hierarchies are mounted.
const Root = "/sys/fs/cgroup"

// Write writes to a file that the kernel has made. A value is one write.
//
// It is three system calls: os.File would first ask whether it can be polled.
func Write(dir, file, value string) error {
	name := filepath.Join(dir, file)
	fd, err := open(name, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for {
		_, err := unix.Write(fd, []byte(value))
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EINTR) {
			return &os.PathError{Op: "write " + shown(value) + " to", Path: name, Err: err}
		}
	}
}

// shown is a value as errors show it.
func shown(value string) string {
	const most = 40
	if value = strings.TrimSpace(value); len(value) > most {
		value = value[:most] + "…"
	}
	return value
}

// Read returns what the kernel has to say in a file, without the last newline.
func Read(dir, file string) (string, error) {
	name := filepath.Join(dir, file)
	fd, err := open(name, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	var text []byte
	buf := make([]byte, 4096)
	for {
		n, err := unix.Read(fd, buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return "", &os.PathError{Op: "read", Path: name, Err: err}
		}
		if n == 0 {
			return strings.TrimSuffix(string(text), "\n"), nil
		}
		text = append(text, buf[:n]...)
	}
}

func open(name string, flags int) (int, error) {
	for {
		fd, err := unix.Open(name, flags|unix.O_CLOEXEC, 0)
		if err == nil {
			return fd, nil
		}
		if !errors.Is(err, unix.EINTR) {
			return -1, &os.PathError{Op: "open", Path: name, Err: err}
		}
	}
}
