// Package image finds the Wasm modules of an image in a content store: every file
// of its layers that begins as a module does and that no upper layer hides, and
// layers that are a module themselves.
//
// An image is a stranger's data, and this code runs as root: it decodes archives
// and manifests in Go, bounds what they may take, and looks at no more than the
// first eight bytes of a module.
//
//	modules, err := image.Modules(ctx, store, target)
//	err = image.Extract(ctx, store, modules, func(m image.Module, r io.Reader) error { … })
package image

import (
	"bytes"
	"context"
	"io"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/containerdapi"
)

// Store reads content by digest ("sha256:…"), which it has checked; that it is
// not there may be an error of Content or of the first Read, recognised by
// errdefs.IsNotFound. containerdapi.Client is one.
type Store interface {
	Content(ctx context.Context, digest string) (io.ReadCloser, error)
}

// Module is a Wasm module of an image.
type Module struct {
	// Name is the path in the image, from "/" on; for a layer that is a module,
	// the layer's digest. A stranger has chosen it: it may hold any bytes.
	Name string
	// Size in bytes, as the image says; a layer that is a module has -1.
	Size int64

	layer containerdapi.Descriptor
	entry int // number of the entry in the layer's archive; wholeLayer for the layer itself
}

// wholeLayer is the entry of a layer that is a module itself.
const wholeLayer = -1

// content is what modules have in common that are the same file.
type content struct {
	layer string
	entry int
}

func (m Module) content() content { return content{m.layer.Digest, m.entry} }

// Bounds on what an image may take. They are far above what real ones have.
const (
	// maxManifest bounds an index or manifest in bytes; containerd has the same.
	maxManifest = 8 << 20
	// maxManifests bounds how many of an index are read, and maxDepth how deep
	// indexes may be nested.
	maxManifests = 64
	maxDepth     = 3
	// maxLayers bounds the layers of one manifest; overlayfs takes fewer.
	maxLayers = 1024
	// maxUnpacked bounds the layers of an image when they are unpacked, in bytes.
	maxUnpacked = 32 << 30
	// maxEntries bounds the files, directories and so on of all layers.
	maxEntries = 4 << 20
	// maxModules bounds the modules of an image.
	maxModules = 1024
	// maxPath and maxNesting bound the path of a file, in bytes and in
	// directories; Linux itself has the first.
	maxPath    = 4096
	maxNesting = 256
	// maxWindow bounds the memory that unpacking zstd takes: that of its highest
	// level.
	maxWindow = 128 << 20
)

// magic is how a module of WebAssembly 1 begins: core specification, 5.5.16.
var magic = []byte("\x00asm\x01\x00\x00\x00")

// IsModule tells whether the begin of a file is that of a module.
func IsModule(head []byte) bool { return bytes.HasPrefix(head, magic) }
