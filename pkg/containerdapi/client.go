// Package containerdapi asks a containerd for images and their content, over the
// gRPC API that containerd serves since 1.0. It reads, and changes nothing.
package containerdapi

import (
	"context"
	"fmt"
	"io"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

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
	request := protowire.AppendTag(nil, 1, protowire.BytesType)
	request = protowire.AppendString(request, id)
	answer, err := c.rpc.Call(ctx, getContainer, request)
	if err != nil {
		return Container{}, err
	}
	var found Container
	err = eachField(answer, func(n protowire.Number, value []byte, _ uint64) error {
		if n != 1 {
			return nil
		}
		return eachField(value, func(n protowire.Number, value []byte, _ uint64) error {
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
	request := protowire.AppendTag(nil, 1, protowire.BytesType)
	request = protowire.AppendString(request, name)
	answer, err := c.rpc.Call(ctx, getImage, request)
	if err != nil {
		return Image{}, err
	}
	var img Image
	err = eachField(answer, func(n protowire.Number, value []byte, _ uint64) error {
		if n != 1 {
			return nil
		}
		img, err = decodeImage(value)
		return err
	})
	return img, err
}

// Images returns all images of the namespace.
func (c *Client) Images(ctx context.Context) ([]Image, error) {
	answer, err := c.rpc.Call(ctx, listImages, nil)
	if err != nil {
		return nil, err
	}
	var all []Image
	err = eachField(answer, func(n protowire.Number, value []byte, _ uint64) error {
		if n != 1 {
			return nil
		}
		img, err := decodeImage(value)
		all = append(all, img)
		return err
	})
	return all, err
}

// Namespaces returns the names of all namespaces of the daemon.
func (c *Client) Namespaces(ctx context.Context) ([]string, error) {
	answer, err := c.rpc.Call(ctx, listNamespaces, nil)
	if err != nil {
		return nil, err
	}
	var all []string
	err = eachField(answer, func(n protowire.Number, value []byte, _ uint64) error {
		if n != 1 {
			return nil
		}
		return eachField(value, func(n protowire.Number, value []byte, _ uint64) error {
			if n == 1 {
				all = append(all, string(value))
			}
			return nil
		})
	})
	return all, err
}

// Content opens content for reading. That it is not there is an error of the
// first Read, which errdefs.IsNotFound recognises. The daemon has checked the
// digest when it stored the content. The end of ctx ends reading.
func (c *Client) Content(ctx context.Context, digest string) (io.ReadCloser, error) {
	request := protowire.AppendTag(nil, 1, protowire.BytesType)
	request = protowire.AppendString(request, digest)
	s, err := c.rpc.Stream(ctx, readContent, request)
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
		err = eachField(answer, func(n protowire.Number, value []byte, number uint64) error {
			switch n {
			case 1:
				offset = number
			case 2:
				c.rest = value
			}
			return nil
		})
		if err != nil {
			return 0, err
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
	err := eachField(data, func(n protowire.Number, value []byte, _ uint64) error {
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
	return eachField(data, func(n protowire.Number, value []byte, number uint64) error {
		switch n {
		case 1:
			d.MediaType = string(value)
		case 2:
			d.Digest = string(value)
		case 3:
			if number > math.MaxInt64 {
				return fmt.Errorf("containerd's answer has a size of %d", number)
			}
			d.Size = int64(number)
		}
		return nil
	})
}

// eachField calls f for each field of an encoded message, with the bytes of a
// string or message, or the number of a varint. Other types are passed over.
func eachField(data []byte, f func(n protowire.Number, value []byte, number uint64) error) error {
	for len(data) > 0 {
		n, kind, size := protowire.ConsumeTag(data)
		if size < 0 {
			return fmt.Errorf("decode containerd's answer: %w", protowire.ParseError(size))
		}
		data = data[size:]
		var value []byte
		var number uint64
		switch kind {
		case protowire.BytesType:
			value, size = protowire.ConsumeBytes(data)
		case protowire.VarintType:
			number, size = protowire.ConsumeVarint(data)
		default:
			size = protowire.ConsumeFieldValue(n, kind, data)
		}
		if size < 0 {
			return fmt.Errorf("decode containerd's answer: %w", protowire.ParseError(size))
		}
		data = data[size:]
		if err := f(n, value, number); err != nil {
			return err
		}
	}
	return nil
}
