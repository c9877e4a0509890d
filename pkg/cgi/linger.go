package cgi

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// lingerMost is for how long a client may go on sending what nobody wants, after its
	// answer, and lingerQuiet for how long it may send nothing meanwhile.
	lingerMost  = 30 * time.Second
	lingerQuiet = 5 * time.Second
	// lingerLook is how often a connection that lingers looks whether it still may.
	lingerLook = 100 * time.Millisecond
)

// conn is a client's connection, which is closed in two steps if the client may still be
// sending (RFC 9112 section 9.6). A kernel that closes a socket with something unread in
// it resets the connection, and the client loses the answer.
type conn struct {
	net.Conn
	server *server
	// unread is set when the client may be sending what will not be read.
	unread  atomic.Bool
	drained sync.Once
	// resets is set while the end of the connection would pass for that of an answer.
	resets atomic.Bool
}

// connKey is where a request's context has the *conn.
type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// setResets has the kernel reset the connection when it is closed, also by the end of
// this process. Unix sockets cannot be reset.
func (c *conn) setResets(on bool) {
	t, ok := c.Conn.(*net.TCPConn)
	if !ok {
		return
	}
	const atOnce, asUsual = 0, -1
	seconds := asUsual
	if on {
		seconds = atOnce
	}
	if t.SetLinger(seconds) == nil {
		c.resets.Store(on)
	}
}

// Close implements the method of net.Conn.
func (c *conn) Close() error {
	if c.unread.Load() && !c.resets.Load() {
		c.drain()
	}
	return c.Conn.Close()
}

// CloseWrite is what net/http calls when it has not read everything, before it closes.
func (c *conn) CloseWrite() error {
	if !c.resets.Load() {
		c.drain()
	}
	return nil
}

// drain tells the client that there is no more, and reads what it sends until it closes
// the connection. It gives up early when others wait for its place, or the server ends.
func (c *conn) drain() { c.drained.Do(c.doDrain) }

func (c *conn) doDrain() {
	if c.Conn.(interface{ CloseWrite() error }).CloseWrite() != nil { // TCP and Unix have it
		return
	}
	buffer := make([]byte, 4<<10)
	begin := time.Now()
	for last := begin; time.Since(begin) < lingerMost && time.Since(last) < lingerQuiet; {
		_ = c.Conn.SetReadDeadline(time.Now().Add(lingerLook))
		n, err := c.Conn.Read(buffer)
		switch {
		case n > 0:
			last = time.Now()
		case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
			return
		}
		if time.Since(begin) >= grace && c.server.hurried() {
			return
		}
	}
}
