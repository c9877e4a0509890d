// Package cgroupfs reads and writes the kernel's cgroup directories, of cgroup
// v1 and v2 alike.
package cgroupfs

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Root is where the hierarchies are mounted.
const Root = "/sys/fs/cgroup"

// Write writes to a file that the kernel has made. A value is one write.
//
// It is three system calls: os.File would first ask whether it can be polled.
func Write(dir, file, value string) error {
	fd, err := Open(dir, file, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := WriteFD(fd, value); err != nil {
		return &os.PathError{Op: "write " + shown(value) + " to", Path: dir + "/" + file, Err: err}
	}
	return nil
}

// WriteFD is Write to a file that is open.
func WriteFD(fd int, value string) error {
	for {
		_, err := unix.Write(fd, []byte(value))
		if !errors.Is(err, unix.EINTR) {
			return err
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
	fd, err := Open(dir, file, unix.O_RDONLY)
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
			return "", &os.PathError{Op: "read", Path: dir + "/" + file, Err: err}
		}
		if n == 0 {
			return strings.TrimSuffix(string(text), "\n"), nil
		}
		text = append(text, buf[:n]...)
	}
}

// Open opens a file in a cgroup's directory with the flags of open(2), for the caller
// to close.
func Open(dir, file string, flags int) (int, error) {
	name := dir + "/" + file
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
