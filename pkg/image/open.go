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
	return &layerContent{&limited{plain, limit, limit}, plain, raw}, packed, nil
}

// layerContent closes what is below it, too.
type layerContent struct {
	io.Reader
	plain, raw io.Closer
}

func (c *layerContent) Close() error {
	c.plain.Close()
	return c.raw.Close()
}

// limited fails when there are more than limit bytes.
type limited struct {
	r           io.Reader
	left, limit int64
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, fmt.Errorf("it is larger than %d MiB", l.limit>>20)
	}
	return n, err
}

// Command returns the first word of the command in an image's configuration, or
// "" if it has none or is of another kind.
func Command(ctx context.Context, store Store, config containerdapi.Descriptor) (string, error) {
	r, err := store.Content(ctx, config.Digest)
	if err != nil {
		return "", err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, maxManifest+1))
	if err != nil {
		return "", err
	}
	if len(data) > maxManifest {
		return "", fmt.Errorf("its configuration %s is larger than %d bytes", config.Digest, maxManifest)
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
