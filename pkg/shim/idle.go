package shim

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/containerd/ttrpc"
)

// A shim without a container belongs to nobody once its clients are gone:
// containerd has died between start and Create, and may have forgotten about it
// (containerd#6860). It then stops by itself, after
const (
	firstClient = 10 * time.Second // without any client since its start
	nextClient  = 3 * time.Second  // since the last client has gone
)

// clients counts the connections to the shim and calls idle when there have
// been none for a while.
type clients struct {
	net.Listener
	idle func()

	mu    sync.Mutex
	open  int
	timer *time.Timer
	none  chan struct{} // closed when the last client goes; nil if nobody waits
}

func countClients(l net.Listener, idle func()) *clients {
	return &clients{Listener: l, idle: idle, timer: time.AfterFunc(firstClient, idle)}
}

// Accept implements net.Listener.
func (c *clients) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open++
	c.timer.Stop()
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		return conn, nil
	}
	return &client{UnixConn: unix, gone: sync.OnceFunc(c.gone)}, nil
}

func (c *clients) gone() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open--
	if c.open == 0 {
		c.timer.Reset(nextClient)
		if c.none != nil {
			close(c.none)
			c.none = nil
		}
	}
}

// settle waits until all clients have gone, at most d: ttrpc's Shutdown may
// close a connection before the last answer is written.
func (c *clients) settle(d time.Duration) {
	c.mu.Lock()
	if c.open == 0 || c.none != nil {
		c.mu.Unlock()
		return
	}
	none := make(chan struct{})
	c.none = none
	c.mu.Unlock()
	select {
	case <-none:
	case <-time.After(d):
	}
}

// stop is called when the shim ends.
func (c *clients) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer.Stop()
}

// client is a connection that says when it is closed.
type client struct {
	*net.UnixConn
	gone func()
}

// Close implements net.Conn.
func (c *client) Close() error {
	defer c.gone()
	return c.UnixConn.Close()
}

// sameUser is the server's handshake: the peer must be our user. The library's
// own knows nothing but a plain UnixConn.
type sameUser struct{ ttrpc.Handshaker }

// Handshake implements ttrpc.Handshaker.
func (h sameUser) Handshake(ctx context.Context, conn net.Conn) (net.Conn, any, error) {
	c, ok := conn.(*client)
	if !ok {
		return h.Handshaker.Handshake(ctx, conn)
	}
	_, peer, err := h.Handshaker.Handshake(ctx, c.UnixConn)
	return c, peer, err
}
