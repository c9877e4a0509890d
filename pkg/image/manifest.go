package image

import (
	"cmp"
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
	Config   descriptor `json:"config"`
	Layers   []layer    `json:"layers"`
	FSLayers []any      `json:"fsLayers"`
}

type layer struct {
	descriptor
	Annotations map[string]string `json:"annotations"`
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

// preference orders the platforms whose containers run here, the best first: Linux
// of this machine, which containerd chooses by itself, then the names under which
// Wasm images are published. ok is false for all others.
func (p platform) preference() (rank int, ok bool) {
	os := strings.ToLower(p.OS) // Spin writes "Wasip1"
	if os == "linux" && p.Architecture == runtime.GOARCH {
		return 0, true
	}
	if !strings.HasPrefix(p.Architecture, "wasm") {
		return 0, false
	}
	rank = slices.Index([]string{"wasip1", "wasi", "linux"}, os)
	return rank + 1, rank >= 0
}

// attestation is an annotation of what is in an index and is no image: build
// provenance, signatures.
const attestation = "vnd.docker.reference.type"

// Manifest is an image of an index, or one that stands alone.
type Manifest struct {
	// Platform is "os/architecture" as the index has it; empty if it does not say,
	// or there is none. A stranger has chosen it, and all other names here.
	Platform string
	// Preference is 0 for this machine's platform and for a manifest that stands
	// alone, and higher for platforms that are taken if there is no other.
	Preference int
	Config     containerdapi.Descriptor
	// Layers from the bottom up.
	Layers []Layer
}

// Layer is a part of an image.
type Layer struct {
	containerdapi.Descriptor
	// Title is the name of the file that the layer is, if it is one
	// (org.opencontainers.image.title).
	Title string
}

const annotationTitle = "org.opencontainers.image.title"

// Manifests returns every manifest of an image that fits this machine and is in
// the store, target being what the image's name refers to, by preference. A
// manifest that stands alone is taken whatever its platform. An error is a
// sentence about the image.
func Manifests(ctx context.Context, store Store, target containerdapi.Descriptor) ([]Manifest, error) {
	s := search{ctx: ctx, store: store}
	if err := s.visit(target, 0, true, Manifest{}); err != nil {
		return nil, err
	}
	slices.SortStableFunc(s.found, func(a, b Manifest) int { return cmp.Compare(a.Preference, b.Preference) })
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

// search collects the manifests of an image.
type search struct {
	ctx     context.Context
	store   Store
	visited []string // digests
	found   []Manifest
	others  []string // platforms that do not fit
	missing error    // why a manifest that would fit could not be read
}

// visit follows a descriptor. m has what the way to it has told.
func (s *search) visit(d containerdapi.Descriptor, depth int, alone bool, m Manifest) error {
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
		return s.take(d, doc, m)
	case doc.Manifests == nil:
		if doc.FSLayers != nil {
			return fmt.Errorf("manifest %s has the format of Docker 1.9 and older: build or push the image again", d.Digest)
		}
		if alone {
			return fmt.Errorf("%s (%q) is neither an index nor a manifest", d.Digest, d.MediaType)
		}
		return nil
	}
	for _, entry := range doc.Manifests {
		if entry.Annotations[attestation] != "" {
			continue
		}
		next := m
		if entry.Platform != nil {
			rank, ok := entry.Platform.preference()
			if !ok {
				// The platform is a stranger's text.
				s.others = append(s.others, fmt.Sprintf("%.40q", entry.Platform))
				continue
			}
			next.Platform, next.Preference = entry.Platform.String(), rank
		}
		if err := s.visit(entry.export(), depth+1, len(doc.Manifests) == 1, next); err != nil {
			return err
		}
	}
	return nil
}

func (s *search) take(d containerdapi.Descriptor, doc *document, m Manifest) error {
	if len(doc.Layers) > maxLayers {
		return fmt.Errorf("manifest %s has more than %d layers", d.Digest, maxLayers)
	}
	m.Config = doc.Config.export()
	for _, l := range doc.Layers {
		m.Layers = append(m.Layers, Layer{l.export(), l.Annotations[annotationTitle]})
	}
	s.found = append(s.found, m)
	return nil
}

func readDocument(ctx context.Context, store Store, d containerdapi.Descriptor) (*document, error) {
	data, err := readJSON(ctx, store, "manifest", d.Digest)
	if err != nil {
		return nil, err
	}
	var doc document
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("decode manifest %s: %w", d.Digest, err)
	}
	return &doc, nil
}

// readJSON reads an index, a manifest or a configuration, what in messages.
func readJSON(ctx context.Context, store Store, what, digest string) ([]byte, error) {
	r, err := store.Content(ctx, digest)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, maxManifest+1))
	if err == nil && len(data) > maxManifest {
		err = fmt.Errorf("%s %s is larger than %d bytes", what, digest, maxManifest)
	}
	return data, err
}
