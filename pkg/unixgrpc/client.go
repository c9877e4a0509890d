// Package unixgrpc calls gRPC services on a unix socket: one request, one or many
// answers. It is all of a gRPC client that this program needs of containerd, in a
// few hundred lines, because the binary is started for every container and there
// is one shim for every pod: docs/RATIONALE.md has the price of the usual client.
//
// Every call has a connection of its own and no goroutine. A caller that reads
// slowly lets the socket fill up, and the server waits.
package unixgrpc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
)

// MaxMessage bounds a message from the server, in bytes. It is what containerd
// allows itself to send.
const MaxMessage = 16 << 20

// Client calls the services behind a socket. It holds no connection.
type Client struct {
	// Socket is the path of the unix socket.
	Socket string
	// Metadata is sent with every call. Names are in lower case.
	Metadata map[string]string

	greeting time.Duration // for tests; 0 means the constant
}

// Call makes a unary call: method is "/package.Service/Method", request and
// answer are encoded messages. A status that is not OK becomes an error of
// package errdefs with the server's message.
func (c *Client) Call(ctx context.Context, method string, request []byte) ([]byte, error) {
	s, err := c.Stream(ctx, method, request)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	answer, err := s.Recv()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: the server answered nothing", method)
	}
	if err != nil {
		return nil, err
	}
	// The status comes after the message.
	if _, err := s.Recv(); !errors.Is(err, io.EOF) {
		if err == nil {
			err = fmt.Errorf("%s: the server answered more than one message", method)
		}
		return nil, err
	}
	return answer, nil
}

// Stream makes a call with any number of answers. The caller closes the stream;
// the end of ctx ends it too.
func (c *Client) Stream(ctx context.Context, method string, request []byte) (*Stream, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", c.Socket)
	if err != nil {
		return nil, c.explain(err)
	}
	s := newStream(ctx, conn, method, cmp.Or(c.greeting, greeting))
	if err := s.send(request, c.Metadata); err != nil {
		s.Close()
		return nil, s.explain(err)
	}
	return s, nil
}

// explain says in a sentence why there is no connection.
func (c *Client) explain(err error) error {
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, fs.ErrNotExist):
		return &unreachable{errdefs.ErrUnavailable, "there is no socket " + c.Socket}
	case errors.Is(err, fs.ErrPermission):
		return &unreachable{errdefs.ErrPermissionDenied, "this user may not use the socket " + c.Socket}
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTSOCK):
		return &unreachable{errdefs.ErrUnavailable, "nobody listens on " + c.Socket}
	case errors.Is(err, syscall.EPROTOTYPE):
		return &unreachable{errdefs.ErrUnavailable, c.Socket + " is not the socket of a gRPC server"}
	}
	return fmt.Errorf("connect to %s: %w", c.Socket, err)
}

// unreachable is a kind of error, of package errdefs, in a sentence.
type unreachable struct {
	kind error
	text string
}

func (u *unreachable) Error() string { return u.text }
func (u *unreachable) Unwrap() error { return u.kind }
