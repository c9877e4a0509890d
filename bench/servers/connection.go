package main

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// connection is one client of a load.
type connection struct {
	fd         int
	connecting bool
	began      time.Time // of that request
	got        []byte    // of its answer
	size       int       // of it, header and body; 0 while that is not known
	header     int
}

// open begins to connect. It has to be watched for readiness to write.
func (c *connection) open(to *unix.SockaddrInet4) error {
	var err error
	if c.fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	c.connecting = true
	if err := unix.Connect(c.fd, to); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		c.close()
		return fmt.Errorf("connect: %w", err)
	}
	return nil
}

// connected is to be called when it can write for the first time.
func (c *connection) connected() error {
	c.connecting = false
	code, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && code != 0 {
		err = unix.Errno(code)
	}
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	return unix.SetsockoptInt(c.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
}

func (c *connection) send(request []byte) error {
	n, err := unix.Write(c.fd, request)
	if err == nil && n < len(request) {
		err = fmt.Errorf("only %d bytes of a request could be written", n)
	}
	return err
}

// receive reads what there is, and tells whether the answer is complete. Its body has to
// be the one wanted.
func (c *connection) receive(body []byte) (done bool, err error) {
	n, err := unix.Read(c.fd, c.got[len(c.got):cap(c.got)]) // which is more than the answer
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return false, nil
	case err != nil:
		return false, err
	case n == 0:
		return false, fmt.Errorf("the server closed the connection after %d bytes of an answer", len(c.got))
	}
	c.got = c.got[:len(c.got)+n]
	if c.size == 0 {
		if c.header, c.size, err = answerSize(c.got); err != nil || c.size == 0 {
			return false, err
		}
		if n := c.size - c.header; n != len(body) {
			return false, fmt.Errorf("an answer of %d bytes, not %d", n, len(body))
		}
	}
	switch {
	case len(c.got) < c.size:
		return false, nil
	case len(c.got) > c.size || !bytes.Equal(c.got[c.header:], body):
		return false, fmt.Errorf("a wrong answer: %d bytes that begin with %q", len(c.got)-c.header, c.got[c.header:min(len(c.got), c.header+40)])
	}
	c.got, c.size = c.got[:0], 0
	return true, nil
}

func (c *connection) close() {
	if c.fd >= 0 {
		unix.Close(c.fd)
	}
	c.fd = -1
}
