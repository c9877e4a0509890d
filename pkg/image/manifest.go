package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/containerdapi"
)

// document is an index or a manifest, of OCI's or Docker's: they are told apart by
// what is in them.
type document struct {
	Manifests []struct {
		descriptor
		Platform    *platform         `json:"platform"`
		Annotations map[string]string `json:"annotations"`
	} `json:"manifests"`
	Layers   []descriptor `json:"layers"`
	FSLayers []any        `json:"fsLayers"`
}

type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
}

func (d descriptor) export() containerdapi.Descriptor {
	return containerdapi.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
}

type platform struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
}

func (p platform) String() string { return p.OS + "/" + p.Architecture }

// fits tells whether containers of that platform run here: Linux of this
// machine, or one of the names under which Wasm images are published.
func (p platform) fits() bool {
	switch p.OS {
	case "linux":
		return p.Architecture == runtime.GOARCH
	case "wasip1", "wasi":
		return strings.HasPrefix(p.Architecture, "wasm")
	}
	return false
}

// attestation is an annotation of what is in an index and is no image: build
// provenance, signatures.
const attestation = "vnd.docker.reference.type"

// chain is the layers of one manifest, from the bottom up.
type chain []containerdapi.Descriptor

// chains returns the layers of every manifest of an image that fits this machine
// and is there. A manifest that stands alone is taken whatever its platform.
func chains(ctx context.Context, store Store, target containerdapi.Descriptor) ([]chain, error) {
	s := search{ctx: ctx, store: store}
	if err := s.visit(target, 0, true); err != nil {
		return nil, err
	}
	switch {
	case len(s.found) > 0:
		return s.found, nil
	case s.missing != nil:
		return nil, fmt.Errorf("its content is not in the store, pull it for this platform first: %w", s.missing)
	case len(s.others) > 0:
		return nil, fmt.Errorf("it is for %s, and neither for linux/%s nor for Wasm", strings.Join(s.others, ", "), runtime.GOARCH)
	}
	return nil, errors.New("its index is empty")
}

// search collects the chains of an image.
type search struct {
	ctx     context.Context
	store   Store
	visited []string // digests
	found   []chain
	others  []string // platforms that do not fit
	missing error    // why a manifest that would fit could not be read
}

func (s *search) visit(d containerdapi.Descriptor, depth int, alone bool) error {
	if slices.Contains(s.visited, d.Digest) {
		return nil
	}
	if s.visited = append(s.visited, d.Digest); len(s.visited) > maxManifests || depth > maxDepth {
		return fmt.Errorf("its index has more than %d manifests, or more than %d levels", maxManifests, maxDepth)
	}
	doc, err := readDocument(s.ctx, s.store, d)
	if errdefs.IsNotFound(err) {
		// ctr pull gets an index whole, but only the manifests of one platform.
		s.missing = err
		return nil
	}
	if err != nil {
		return err
	}
	switch {
	case doc.Layers != nil:
		return s.take(d, doc)
	case doc.Manifests == nil:
		if doc.FSLayers != nil {
			return fmt.Errorf("manifest %s has the format of Docker 1.9 and older: build or push the image again", d.Digest)
		}
		if alone {
			return fmt.Errorf("%s (%q) is neither an index nor a manifest", d.Digest, d.MediaType)
		}
		return nil
	}
	for _, m := range doc.Manifests {
		if m.Annotations[attestation] != "" {
			continue
		}
		if m.Platform != nil && !m.Platform.fits() {
			// The platform is a stranger's text.
			s.others = append(s.others, fmt.Sprintf("%.40q", m.Platform))
			continue
		}
		if err := s.visit(m.export(), depth+1, len(doc.Manifests) == 1); err != nil {
			return err
		}
	}
	return nil
}

func (s *search) take(d containerdapi.Descriptor, doc *document) error {
	if len(doc.Layers) > maxLayers {
		return fmt.Errorf("manifest %s has more than %d layers", d.Digest, maxLayers)
	}
	var c chain
	for _, l := range doc.Layers {
		c = append(c, l.export())
	}
	s.found = append(s.found, c)
	return nil
}

func readDocument(ctx context.Context, store Store, d containerdapi.Descriptor) (*document, error) {
	r, err := store.Content(ctx, d.Digest)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, maxManifest+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxManifest {
		return nil, fmt.Errorf("manifest %s is larger than %d bytes", d.Digest, maxManifest)
	}
	var doc document
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("decode manifest %s: %w", d.Digest, err)
	}
	return &doc, nil
}
