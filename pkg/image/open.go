package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/containerdapi"
)

// OpenLayer opens the content of a layer, unpacked if it is compressed, of which
// no more than limit bytes can be read. packed tells whether it is.
func OpenLayer(ctx context.Context, store Store, l Layer, limit int64) (content io.ReadCloser, packed bool, err error) {
	c, packed, err := open(ctx, store, l.Descriptor)
	if err != nil {
		return nil, false, err
	}
	left := limit
	c.Reader = &budget{c.Reader, &left, fmt.Errorf("it is larger than %d MiB", limit>>20)}
	return c, packed, nil
}

// layerContent is what a layer unpacks to. It closes what is below it, too.
type layerContent struct {
	io.Reader
	plain, raw io.Closer
}

func (c *layerContent) Close() error {
	c.plain.Close()
	return c.raw.Close()
}

// open opens the content of a layer, unpacked if it is compressed.
func open(ctx context.Context, store Store, l containerdapi.Descriptor) (_ *layerContent, packed bool, err error) {
	if strings.Contains(l.MediaType, "+encrypted") {
		return nil, false, errors.New("it is encrypted")
	}
	raw, err := store.Content(ctx, l.Digest)
	if err != nil {
		return nil, false, err
	}
	plain, packed, err := unpack(raw)
	if err != nil {
		raw.Close()
		return nil, false, err
	}
	return &layerContent{plain, plain, raw}, packed, nil
}

// Command returns the first word of the command in an image's configuration, or
// "" if it has none or is of another kind.
func Command(ctx context.Context, store Store, config containerdapi.Descriptor) (string, error) {
	data, err := readJSON(ctx, store, "its configuration", config.Digest)
	if err != nil {
		return "", err
	}
	var image struct {
		Config struct{ Entrypoint, Cmd []string } `json:"config"`
	}
	if json.Unmarshal(data, &image) != nil {
		return "", nil // it may be anything
	}
	for _, words := range [][]string{image.Config.Entrypoint, image.Config.Cmd} {
		if len(words) > 0 {
			return words[0], nil
		}
	}
	return "", nil
}
