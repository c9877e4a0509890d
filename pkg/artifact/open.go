package artifact

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/image"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/memfd"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/oci"
)

// maxModule bounds a module when it is unpacked, in bytes: the compiler takes none
// that is larger.
const maxModule = 512 << 20

// headSize is how much is looked at before the rest is read, in bytes.
const headSize = 20

// Open copies the module into memory and returns a file for reading, and its
// SHA-256. What is not a module is not read to its end.
//
// The copy is sealed, because a runner gets the file: through a descriptor of the
// content store's own file, root in a container could write what every other
// container of the node runs. It lasts as long as the file is open.
//
// The digest is not computed if containerd knows it; nothing relies on that, since a
// runner finds out by itself whether compiled code is that of the module that it has.
func (a *Artifact) Open(ctx context.Context, store image.Store) (*os.File, *[sha256.Size]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, readTimeout, fmt.Errorf("containerd has not sent it within %s", readTimeout))
	defer cancel()
	f, digest, err := a.open(ctx, store)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, nil, fmt.Errorf("the module %q of the image %q: %w", a.Name(), a.Image, err)
	}
	return f, digest, nil
}

func (a *Artifact) open(ctx context.Context, store image.Store) (*os.File, *[sha256.Size]byte, error) {
	content, packed, err := image.OpenLayer(ctx, store, a.layer, maxModule)
	if err != nil {
		return nil, nil, explain(err)
	}
	defer content.Close()
	in := bufio.NewReaderSize(content, 1<<20)
	head, err := in.Peek(headSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, explain(err)
	}
	if fault := oci.ModuleFault(head); fault != "" {
		return nil, nil, errdefs.ErrInvalidArgument.WithMessage(fault)
	}
	hash := sha256.New()
	known := digestOf(a.layer)
	out := io.Discard
	if packed || known == nil {
		out, known = hash, nil
	}
	f, err := sealed(io.TeeReader(in, out))
	if err != nil {
		return nil, nil, err
	}
	if known == nil {
		known = (*[sha256.Size]byte)(hash.Sum(nil))
	}
	return f, known, nil
}

// explain says what it means that content is not there.
func explain(err error) error {
	if errdefs.IsNotFound(err) {
		return fmt.Errorf("it is not in containerd's content store any more, pull the image again: %w", err)
	}
	return err
}

// digestOf is the digest by which containerd knows the layer; nil if it is of
// another kind.
func digestOf(l image.Layer) *[sha256.Size]byte {
	text, ok := strings.CutPrefix(l.Digest, "sha256:")
	if !ok {
		return nil
	}
	digest, err := hex.DecodeString(text)
	if err != nil || len(digest) != sha256.Size || bytes.ContainsAny([]byte(text), "ABCDEF") {
		return nil
	}
	return (*[sha256.Size]byte)(digest)
}

// sealed copies content into a file in memory that nobody can change, and opens it
// for reading.
func sealed(content io.Reader) (*os.File, error) {
	f, err := memfd.New("module.wasm")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if _, err := io.Copy(f, content); err != nil {
		return nil, explain(err)
	}
	// The container's user reads it, once more perhaps, by /proc/self/fd.
	return memfd.Finish(f, 0o444)
}
