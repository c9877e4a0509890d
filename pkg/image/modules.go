package image

import (
	"archive/tar"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/containerdapi"
)

// Modules finds the modules of an image, target being what its name refers to, on
// all platforms that containers here may have. Files that are the same by a hard
// link or a shared layer are found once. An error is a sentence about the image.
func Modules(ctx context.Context, store Store, target containerdapi.Descriptor) ([]Module, error) {
	manifests, err := Manifests(ctx, store, target)
	if err != nil {
		return nil, err
	}
	r := newReader(ctx, store)
	var all []Module
	seen := map[content]bool{}
	for _, m := range manifests {
		found, err := r.find(m.chain())
		if err != nil {
			return nil, err
		}
		for _, m := range found {
			if !seen[m.content()] {
				seen[m.content()] = true
				all = append(all, m)
			}
		}
	}
	return all, nil
}

// chain is the layers of one manifest, from the bottom up.
type chain []containerdapi.Descriptor

func (m Manifest) chain() chain {
	c := make(chain, 0, len(m.Layers))
	for _, l := range m.Layers {
		c = append(c, l.Descriptor)
	}
	return c
}

// find lays the layers of a chain over each other.
func (r *reader) find(c chain) ([]Module, error) {
	lower := newTree()
	var whole []Module
	for _, l := range c {
		own := newTree() // whiteouts do not hide what is in their own layer
		err := r.walk(l, func(f *file) error {
			if f.entry == wholeLayer {
				whole = append(whole, Module{Name: l.Digest, Size: -1, layer: l, entry: wholeLayer})
				return nil
			}
			return lay(lower, own, l, f)
		})
		if err != nil {
			return nil, err
		}
		for p, m := range own.modules {
			if err := lower.add(p, m); err != nil {
				return nil, err
			}
		}
	}
	found := whole
	for _, m := range lower.modules {
		found = append(found, m)
	}
	// In the order of reading; a name for each, whatever the order of a map.
	position := map[string]int{}
	for i, l := range c {
		position[l.Digest] = i
	}
	slices.SortFunc(found, func(a, b Module) int {
		return cmp.Or(cmp.Compare(position[a.layer.Digest], position[b.layer.Digest]),
			cmp.Compare(a.entry, b.entry), cmp.Compare(a.Name, b.Name))
	})
	return found, nil
}

// lay puts an entry of a layer over the lower ones.
func lay(lower, own *tree, l containerdapi.Descriptor, f *file) error {
	switch {
	case lower.hide(f.path):
		return nil
	case f.header.Typeflag == tar.TypeDir:
		// A directory replaces a file and is merged with a directory.
		lower.removeFile(f.path)
		own.removeFile(f.path)
		return nil
	}
	var m Module
	found := false
	switch {
	case f.header.Typeflag == tar.TypeLink:
		target, err := cleanPath(f.header.Linkname)
		if err != nil {
			return err
		}
		if m, found = own.modules[target]; !found {
			m, found = lower.modules[target]
		}
	case f.regular():
		head, err := f.r.Peek(len(magic))
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		found = IsModule(head)
		m = Module{Size: f.header.Size, layer: l, entry: f.entry}
	}
	lower.remove(f.path)
	own.remove(f.path)
	if !found {
		return nil
	}
	m.Name = f.path
	return own.add(f.path, m)
}

// Extract calls each with the content of every module that Modules has found, in
// its order. It stops at each's first error and returns it.
func Extract(ctx context.Context, store Store, modules []Module, each func(Module, io.Reader) error) error {
	r := newReader(ctx, store)
	for len(modules) > 0 {
		n := 1
		for n < len(modules) && modules[n].layer.Digest == modules[0].layer.Digest {
			n++
		}
		if err := r.extract(modules[:n], each); err != nil {
			return err
		}
		modules = modules[n:]
	}
	return nil
}

// extract reads modules of one layer.
func (r *reader) extract(wanted []Module, each func(Module, io.Reader) error) error {
	var failed error
	err := r.walk(wanted[0].layer, func(f *file) error {
		if f.entry != wanted[0].entry {
			return nil
		}
		// Holes of a sparse file have not been counted yet.
		if failed = each(wanted[0], r.budget(f.r)); failed != nil {
			return errStop
		}
		if wanted = wanted[1:]; len(wanted) == 0 {
			return errStop
		}
		return nil
	})
	switch {
	case failed != nil:
		return failed
	case err == nil && len(wanted) > 0:
		return fmt.Errorf("layer %s is not what it was a moment ago", wanted[0].layer.Digest)
	}
	return err
}
