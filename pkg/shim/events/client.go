package events

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/rpc"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/wire"
)

// service is containerd's.
const service = "containerd.services.events.ttrpc.v1.Events"

// dialTimeout bounds connecting to containerd's socket.
const dialTimeout = 5 * time.Second

// Client forwards events to containerd's socket. It connects when there is an
// event to send, and again when the connection is gone.
type Client struct {
	address string

	mu     sync.Mutex
	conn   net.Conn
	client *ttrpc.Client
}

// NewClient returns a client for the address that containerd puts into
// TTRPC_ADDRESS: a path, with or without "unix://". Without an address nobody
// listens, and events are dropped.
func NewClient(address string) *Client {
	return &Client{address: strings.TrimPrefix(address, "unix://")}
}

// Forward is a ForwardFunc.
func (c *Client) Forward(ctx context.Context, e *Envelope) error {
	if c.address == "" {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.client != nil {
		err := c.call(ctx, e)
		if err == nil || isRefused(err) || ctx.Err() != nil {
			return err
		}
		// containerd was restarted since the last event: no reason to wait.
	}
	if err := c.dial(ctx); err != nil {
		return err
	}
	return c.call(ctx, e)
}

// Close closes the connection; a later Forward opens it again.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop()
}

func (c *Client) dial(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", c.address)
	if err != nil {
		return fmt.Errorf("connect to containerd: %w", err)
	}
	c.conn, c.client = conn, ttrpc.NewClient(conn)
	return nil
}

func (c *Client) drop() {
	if c.client != nil {
		_ = c.client.Close()
		c.conn, c.client = nil, nil
	}
}

// call drops the connection after any error that is not containerd's answer.
func (c *Client) call(ctx context.Context, e *Envelope) error {
	// The context does not reach a write into a full socket.
	if deadline, ok := ctx.Deadline(); ok {
		_ = c.conn.SetWriteDeadline(deadline)
	}
	err := rpc.Call(ctx, c.client, service, "Forward", &ForwardRequest{e}, &wire.Empty{})
	if err == nil {
		return nil
	}
	if s, ok := status.FromError(err); ok && s.Code() != codes.DeadlineExceeded && s.Code() != codes.Canceled {
		return &refused{err}
	}
	c.drop()
	return fmt.Errorf("forward event %s to containerd: %w", e.Topic, err)
}

// refused is an error with which containerd answered.
type refused struct{ err error }

func (r *refused) Error() string { return "containerd refused the event: " + r.err.Error() }
func (r *refused) Unwrap() error { return r.err }

func isRefused(err error) bool {
	var r *refused
	return errors.As(err, &r)
}

// isInvalid tells whether trying again cannot help.
func isInvalid(err error) bool {
	return status.Code(errors.Unwrap(err)) == codes.InvalidArgument
}
