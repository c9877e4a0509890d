package resolve

import (
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// maxMessage bounds a message in bytes.
const maxMessage = 1 << 16

// exchange asks one server, and returns the questions that it does not answer.
func (c *conf) exchange(server netip.AddrPort, questions []*question) (left []*question) {
	for _, q := range questions {
		q.reply, q.truncated = nil, c.tcp
	}
	deadline := time.Now().Add(c.timeout)
	if !c.tcp {
		exchangeUDP(server, questions, deadline)
	}
	for _, q := range questions {
		if q.truncated {
			exchangeTCP(server, q, deadline)
		}
		if !q.useful() {
			left = append(left, q)
		}
	}
	return left
}

// exchangeUDP asks all questions at once.
func exchangeUDP(server netip.AddrPort, questions []*question, deadline time.Time) {
	conn, err := dial(server, unix.SOCK_DGRAM, deadline)
	if err != nil {
		return
	}
	defer conn.close()
	for _, q := range questions {
		if err := conn.send(q.message); err != nil {
			return
		}
	}
	buffer := make([]byte, maxMessage)
	for open := len(questions); open > 0; {
		n, err := conn.receive(buffer)
		if err != nil {
			return
		}
		for _, q := range questions {
			if q.reply == nil && !q.truncated && q.accept(buffer[:n]) {
				open--
				break
			}
		}
	}
}

// exchangeTCP asks one question. Messages have their length before them.
func exchangeTCP(server netip.AddrPort, q *question, deadline time.Time) {
	conn, err := dial(server, unix.SOCK_STREAM, deadline)
	if err != nil {
		return
	}
	defer conn.close()
	if conn.send(binary.BigEndian.AppendUint16(nil, uint16(len(q.message)))) != nil || conn.send(q.message) != nil {
		return
	}
	var size [2]byte
	if conn.receiveAll(size[:]) != nil {
		return
	}
	reply := make([]byte, binary.BigEndian.Uint16(size[:]))
	if conn.receiveAll(reply) != nil {
		return
	}
	q.accept(reply)
}

// conn is a socket that does not block, with a time until which to wait for it.
type conn struct {
	fd       int
	deadline time.Time
}

func dial(server netip.AddrPort, kind int, deadline time.Time) (*conn, error) {
	family := unix.AF_INET6
	if server.Addr().Is4() {
		family = unix.AF_INET
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	c := &conn{fd, deadline}
	if err := c.connect(server); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// connect makes that only the server's replies are received, too.
func (c *conn) connect(server netip.AddrPort) error {
	err := unix.Connect(c.fd, sockaddr(server))
	if !errors.Is(err, unix.EINPROGRESS) && !errors.Is(err, unix.EINTR) {
		return err
	}
	if err := c.wait(unix.POLLOUT); err != nil {
		return err
	}
	failed, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && failed != 0 {
		err = unix.Errno(failed)
	}
	return err
}

func sockaddr(at netip.AddrPort) unix.Sockaddr {
	if at.Addr().Is4() {
		return &unix.SockaddrInet4{Addr: at.Addr().As4(), Port: int(at.Port())}
	}
	return &unix.SockaddrInet6{Addr: at.Addr().As16(), Port: int(at.Port())}
}

// wait waits for an event until the deadline.
func (c *conn) wait(event int16) error {
	for {
		left := time.Until(c.deadline)
		if left <= 0 {
			return unix.ETIMEDOUT
		}
		timeout := unix.NsecToTimespec(int64(left))
		n, err := unix.Ppoll([]unix.PollFd{{Fd: int32(c.fd), Events: event}}, &timeout, nil)
		switch {
		case n > 0:
			return nil
		case err != nil && !errors.Is(err, unix.EINTR):
			return err
		}
	}
}

func (c *conn) send(data []byte) error {
	for len(data) > 0 {
		n, err := unix.Write(c.fd, data)
		switch {
		case errors.Is(err, unix.EAGAIN):
			err = c.wait(unix.POLLOUT)
		case errors.Is(err, unix.EINTR):
			continue
		}
		if err != nil {
			return err
		}
		data = data[max(n, 0):]
	}
	return nil
}

func (c *conn) receive(buffer []byte) (int, error) {
	for {
		if err := c.wait(unix.POLLIN); err != nil {
			return 0, err
		}
		n, err := unix.Read(c.fd, buffer)
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			return max(n, 0), err
		}
	}
}

func (c *conn) receiveAll(buffer []byte) error {
	for len(buffer) > 0 {
		n, err := c.receive(buffer)
		if err == nil && n == 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		buffer = buffer[n:]
	}
	return nil
}

func (c *conn) close() { unix.Close(c.fd) }
