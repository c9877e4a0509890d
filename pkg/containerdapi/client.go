// Package containerdapi asks a containerd for images and their content, over the
// gRPC API that containerd serves since 1.0. It reads, and changes nothing.
package containerdapi

import (
	"context"
	"fmt"
	"io"
	"math"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/protofields"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/unixgrpc"
)

// DefaultAddress is where containerd listens unless it was told otherwise.
const DefaultAddress = "/run/containerd/containerd.sock"

// Methods of containerd's API; github.com/containerd/containerd/api has the
// definitions, by whose field numbers messages are read here.
const (
	getContainer   = "/containerd.services.containers.v1.Containers/Get"
	getImage       = "/containerd.services.images.v1.Images/Get"
	listImages     = "/containerd.services.images.v1.Images/List"
	readContent    = "/containerd.services.content.v1.Content/Read"
	listNamespaces = "/containerd.services.namespaces.v1.Namespaces/List"
)

// Client reads from a namespace of a containerd. It holds no connection.
type Client struct {
	Namespace string
	rpc       unixgrpc.Client
}

// New makes a client for the daemon whose gRPC socket is address. It does not
// connect yet.
func New(address, namespace string) *Client {
	return &Client{Namespace: namespace, rpc: unixgrpc.Client{
		Socket: address, Metadata: map[string]string{"containerd-namespace": namespace},
	}}
}

// In is the client for another namespace of the same daemon.
func (c *Client) In(namespace string) *Client { return New(c.rpc.Socket, namespace) }

// Descriptor refers to content.
type Descriptor struct {
	MediaType string
	// Digest is "algorithm:hex".
	Digest string
	// Size in bytes.
	Size int64
}

// Image is a name for content.
type Image struct {
	Name   string
	Target Descriptor
}

// Container is what containerd knows of a container, as far as it matters here.
type Container struct {
	ID string
	// Image is the name of the image it was made of; empty if whoever made it
	// did not say.
	Image string
}

// Container returns the container with that id, or an error that
// errdefs.IsNotFound recognises.
func (c *Client) Container(ctx context.Context, id string) (Container, error) {
	var found Container
	err := c.call(ctx, getContainer, protofields.String(1, id), func(container []byte) error {
		return protofields.Each(container, func(n protofields.Number, value []byte, _ uint64) error {
			switch n {
			case 1:
				found.ID = string(value)
			case 3:
				found.Image = string(value)
			}
			return nil
		})
	})
	return found, err
}

// Image returns the image with exactly that name, or an error that
// errdefs.IsNotFound recognises.
func (c *Client) Image(ctx context.Context, name string) (Image, error) {
	var img Image
	err := c.call(ctx, getImage, protofields.String(1, name), func(image []byte) (err error) {
		img, err = decodeImage(image)
		return err
	})
	return img, err
}

// Images returns all images of the namespace.
func (c *Client) Images(ctx context.Context) ([]Image, error) {
	var all []Image
	err := c.call(ctx, listImages, nil, func(image []byte) error {
		img, err := decodeImage(image)
		all = append(all, img)
		return err
	})
	return all, err
}

// Namespaces returns the names of all namespaces of the daemon.
func (c *Client) Namespaces(ctx context.Context) ([]string, error) {
	var all []string
	err := c.call(ctx, listNamespaces, nil, func(namespace []byte) error {
		return protofields.Each(namespace, func(n protofields.Number, value []byte, _ uint64) error {
			if n == 1 {
				all = append(all, string(value))
			}
			return nil
		})
	})
	return all, err
}

// call makes a unary call, and calls f with what was asked for, once or more: each
// answer has that in its field 1.
func (c *Client) call(ctx context.Context, method string, request []byte, f func(value []byte) error) error {
	answer, err := c.rpc.Call(ctx, method, request)
	if err != nil {
		return err
	}
	return undecodable(protofields.Each(answer, func(n protofields.Number, value []byte, _ uint64) error {
		if n != 1 {
			return nil
		}
		return f(value)
	}))
}

// undecodable says what an error of decoding is about.
func undecodable(err error) error {
	if err != nil {
		return fmt.Errorf("decode containerd's answer: %w", err)
	}
	return nil
}

// Content opens content for reading. That it is not there is an error of the
// first Read, which errdefs.IsNotFound recognises. The daemon has checked the
// digest when it stored the content. The end of ctx ends reading.
func (c *Client) Content(ctx context.Context, digest string) (io.ReadCloser, error) {
	s, err := c.rpc.Stream(ctx, readContent, protofields.String(1, digest))
	if err != nil {
		return nil, err
	}
	return &content{stream: s}, nil
}

// content makes a reader of a stream of messages.
type content struct {
	stream *unixgrpc.Stream
	offset int64 // of what comes next
	rest   []byte
}

func (c *content) Read(p []byte) (int, error) {
	for len(c.rest) == 0 {
		answer, err := c.stream.Recv()
		if err != nil {
			return 0, err
		}
		var offset uint64
		err = protofields.Each(answer, func(n protofields.Number, value []byte, number uint64) error {
			switch n {
			case 1:
				offset = number
			case 2:
				c.rest = value
			}
			return nil
		})
		if err != nil {
			return 0, undecodable(err)
		}
		if offset != uint64(c.offset) {
			return 0, fmt.Errorf("containerd sent the content at offset %d when that at %d was next", offset, c.offset)
		}
		c.offset += int64(len(c.rest))
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

func (c *content) Close() error {
	c.stream.Close()
	return nil
}

func decodeImage(data []byte) (Image, error) {
	var img Image
	err := protofields.Each(data, func(n protofields.Number, value []byte, _ uint64) error {
		switch n {
		case 1:
			img.Name = string(value)
		case 3:
			return decodeDescriptor(value, &img.Target)
		}
		return nil
	})
	return img, err
}

func decodeDescriptor(data []byte, d *Descriptor) error {
	return protofields.Each(data, func(n protofields.Number, value []byte, number uint64) error {
		switch n {
		case 1:
			d.MediaType = string(value)
		case 2:
			d.Digest = string(value)
		case 3:
			if number > math.MaxInt64 {
				return fmt.Errorf("size of %d bytes", number)
			}
			d.Size = int64(number)
		}
		return nil
	})
}
