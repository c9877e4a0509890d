package cli

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/entry"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/image"
)

// maxModule bounds a module in bytes; compilers refuse smaller ones already.
const maxModule = 1 << 30

// item is a module to compile.
type item struct {
	source string // the argument
	name   string // in the image; empty for a file
	file   *os.File
	size   int64         // in bytes
	digest *entry.Digest // nil for a file: the cache knows best
}

// title is the name of the module alone.
func (i *item) title() string {
	if i.name != "" {
		return i.name
	}
	return i.source
}

// findFile sends the module in a file.
func findFile(name string, send func(*item) error) error {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return errors.Unwrap(err) // the name is told anyway
	}
	info, err := f.Stat()
	if err == nil {
		err = checkFile(f, info)
	}
	if err != nil {
		f.Close()
		return err
	}
	return send(&item{source: name, file: f, size: info.Size()})
}

// checkFile refuses what is no module, by its first bytes.
func checkFile(f *os.File, info os.FileInfo) error {
	if info.IsDir() {
		return errors.New("it is a directory: name a file in it")
	}
	if !info.Mode().IsRegular() {
		return errors.New("it is not a regular file")
	}
	head := make([]byte, 8)
	if _, err := f.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch {
	case bytes.Equal(head, []byte("\x00asm\x0d\x00\x01\x00")):
		return errors.New("it is a WebAssembly component, only modules can be run: build it as a WASI preview 1 module")
	case !image.IsModule(head):
		return errors.New("it is not a WebAssembly module")
	}
	return nil
}

// findModules sends the modules of an image.
func (c *precompiler) findModules(ctx context.Context, name string, send func(*item) error) error {
	img, err := findImage(ctx, c.containerd, name)
	if err != nil {
		return err
	}
	modules, err := image.Modules(ctx, c.containerd, img.Target)
	if err != nil {
		return err
	}
	if len(modules) == 0 {
		c.out.empty(img.Name)
		return nil
	}
	return image.Extract(ctx, c.containerd, modules, func(m image.Module, r io.Reader) error {
		i, err := spool(m, r)
		if err != nil {
			c.out.failed(result{Source: img.Name, Name: m.Name, Size: m.Size, err: err})
			return nil
		}
		i.source = img.Name
		return send(i)
	})
}

// spool copies a module into a file without a name, which goes with its last
// descriptor.
func spool(m image.Module, r io.Reader) (*item, error) {
	if m.Size > maxModule {
		return nil, errTooLarge
	}
	f, err := os.CreateTemp("", "precompile-")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := os.Remove(f.Name()); err != nil {
		return nil, err
	}
	hash := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, hash), bufio.NewReaderSize(io.LimitReader(r, maxModule+1), 1<<20))
	if err != nil {
		return nil, fmt.Errorf("copy it to %s: %w", os.TempDir(), err)
	}
	if n > maxModule {
		return nil, errTooLarge
	}
	// The compiler gets a descriptor that cannot write.
	fd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open its copy: %w", err)
	}
	digest := entry.Digest(hash.Sum(nil))
	return &item{name: m.Name, file: os.NewFile(uintptr(fd), m.Name), size: n, digest: &digest}, nil
}

var errTooLarge = fmt.Errorf("it is larger than %s", size(maxModule))
