package image

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/containerdapi"
)

// reader reads the layers of an image and counts what that takes.
type reader struct {
	ctx      context.Context
	store    Store
	unpacked int64 // bytes that may still come
	entries  int   // that may still come
}

func newReader(ctx context.Context, store Store) *reader {
	return &reader{ctx: ctx, store: store, unpacked: maxUnpacked, entries: maxEntries}
}

// file is an entry of a layer's archive.
type file struct {
	entry  int // its number
	path   string
	header *tar.Header
	r      *bufio.Reader // of its content
}

// regular tells whether the entry has content.
func (f *file) regular() bool {
	return f.header.Typeflag == tar.TypeReg || f.header.Typeflag == tar.TypeGNUSparse
}

// errStop ends a walk early.
var errStop = errors.New("stop")

// walk calls visit for each entry of a layer, or once if the layer is a module.
// How a layer is packed is told by its content, as containerd does.
func (r *reader) walk(l containerdapi.Descriptor, visit func(*file) error) error {
	err := r.tryWalk(l, visit)
	if err == nil || errors.Is(err, errStop) {
		return nil
	}
	return fmt.Errorf("layer %s: %w", l.Digest, err)
}

func (r *reader) tryWalk(l containerdapi.Descriptor, visit func(*file) error) error {
	content, _, err := open(r.ctx, r.store, l)
	if err != nil {
		return err
	}
	defer content.Close()
	in := bufio.NewReaderSize(r.budget(content), 64<<10)
	head, err := in.Peek(len(magic))
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if IsModule(head) {
		return visit(&file{entry: wholeLayer, r: in})
	}
	if !strings.Contains(l.MediaType, "tar") {
		return nil // an artifact may consist of anything
	}
	return r.walkArchive(in, visit)
}

func (r *reader) walkArchive(in io.Reader, visit func(*file) error) error {
	archive := tar.NewReader(in)
	content := bufio.NewReaderSize(nil, 64<<10)
	for entry := 0; ; entry++ {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if r.entries--; r.entries < 0 {
			return fmt.Errorf("the image has more than %d files", maxEntries)
		}
		if h.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		p, err := cleanPath(h.Name)
		if err != nil {
			return err
		}
		content.Reset(archive)
		if err := visit(&file{entry, p, h, content}); err != nil {
			return err
		}
	}
}

// unpack undoes compression, and tells whether there was any.
func unpack(packed io.Reader) (_ io.ReadCloser, compressed bool, _ error) {
	in := bufio.NewReaderSize(packed, 64<<10)
	head, err := in.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, false, err
	}
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}): // RFC 1952
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, false, err
		}
		return z, true, nil
	case bytes.Equal(head, []byte{0x28, 0xb5, 0x2f, 0xfd}), // RFC 8878
		len(head) == 4 && head[0]&0xf0 == 0x50 && bytes.Equal(head[1:], []byte{0x2a, 0x4d, 0x18}): // a skippable frame
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, false, err
		}
		return z.IOReadCloser(), true, nil
	}
	return io.NopCloser(in), false, nil
}

// budget counts what is read of in for the whole image.
func (r *reader) budget(in io.Reader) io.Reader {
	return &budget{in, &r.unpacked, fmt.Errorf("the image is larger than %d GiB when it is unpacked", int64(maxUnpacked>>30))}
}

// budget fails when more is read than is left.
type budget struct {
	r       io.Reader
	left    *int64
	tooMuch error
}

func (b *budget) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if *b.left -= int64(n); *b.left < 0 {
		return 0, b.tooMuch
	}
	return n, err
}
