// Package artifact finds the Wasm module of a container whose image is no root file
// system: the CNCF Wasm OCI artifact, and images with raw Wasm layers.
//
// containerd fetches such layers and unpacks nothing, so the container's root file
// system is empty, and the module has to be asked for in containerd's content
// store. This code runs as root and everything about an image is a stranger's: it
// decodes manifests and compression in Go, within bounds, and looks at no more of
// a module than its first bytes.
package artifact

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/containerdapi"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/image"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/printable"
)

// ErrFileSystem is Find's error for an ordinary image.
var ErrFileSystem = errors.New("the image is a root file system")

// ErrUnknown says that containerd could not be asked, or does not know the
// container's image. What the image is remains open.
var ErrUnknown = errors.New("it is not known whether the image is a Wasm artifact")

const (
	// findTimeout and readTimeout bound what containerd may take to tell about
	// an image, and to hand out a module.
	findTimeout = 10 * time.Second
	readTimeout = time.Minute
)

// Containerd is the part of containerdapi.Client that is needed.
type Containerd interface {
	image.Store
	Container(ctx context.Context, id string) (containerdapi.Container, error)
	Image(ctx context.Context, name string) (containerdapi.Image, error)
}

// Artifact is an image with a module.
type Artifact struct {
	// Image is its name.
	Image string

	layer  image.Layer
	config containerdapi.Descriptor
	// command is the first word of the command in the image's configuration.
	command string
	// only: there is nothing else in the image that a command could mean.
	only bool
}

// Find looks at the image of a container. imageName, if it is not empty, is what
// the pod calls the image.
//
// The error is ErrFileSystem for an image that has nothing but a file system, wraps
// ErrUnknown if containerd has no answer, and is otherwise a sentence about what
// was found in the image.
func Find(ctx context.Context, c Containerd, containerID, imageName string) (*Artifact, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, findTimeout, errSilent)
	defer cancel()
	container, err := c.Container(ctx, containerID)
	if err != nil {
		return nil, unknown(ctx, err)
	}
	if container.Image == "" {
		return nil, fmt.Errorf("%w: containerd does not know the container's image: with Docker, turn the containerd image store on", ErrUnknown)
	}
	img, sure, err := chosen(ctx, c, container.Image, imageName)
	if err != nil {
		return nil, unknown(ctx, err)
	}
	a, err := find(ctx, c, img)
	if err == nil && !sure {
		err = a.checkID(ctx, c, img)
	}
	switch {
	case errors.Is(err, ErrFileSystem):
		return nil, err
	case errdefs.IsUnavailable(err), ctx.Err() != nil:
		return nil, unknown(ctx, err)
	case err != nil:
		return nil, fmt.Errorf("image %q: %w", printable.Text(img.Name), err)
	}
	a.Image = img.Name
	return a, nil
}

var errSilent = fmt.Errorf("containerd has not answered for %s", findTimeout)

func unknown(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return fmt.Errorf("%w: ask containerd: %w", ErrUnknown, err)
}

// chosen is the image of a container: the one that the pod names, or else that of
// the container's record.
//
// They may differ. An image's id is the digest of its configuration, and images with
// the same one, "{}" above all, have the same id: containerd's CRI plugin then takes
// one for the other. If nothing tells them apart, sure is false.
func chosen(ctx context.Context, c Containerd, recorded, named string) (img containerdapi.Image, sure bool, err error) {
	if named != "" && named != recorded {
		if img, err = c.Image(ctx, named); err == nil {
			return img, true, nil
		}
		// It is the short form of a name, or an id.
	}
	img, err = c.Image(ctx, recorded)
	return img, false, err
}

// checkID finds out whether the CRI plugin knows another module by the image's id.
func (a *Artifact) checkID(ctx context.Context, c Containerd, img containerdapi.Image) error {
	same, err := c.Image(ctx, a.config.Digest) // by this name it refers to the last one that was pulled
	if err != nil || same.Target.Digest == img.Target.Digest {
		return nil
	}
	if other, err := find(ctx, c, same); err == nil && other.layer.Digest == a.layer.Digest {
		return nil
	}
	return fmt.Errorf("has the same configuration, and so the same id, as another image on this node, and containerd does not tell which one is meant: remove that, and build images with a configuration of their own (%s)", typeConfig)
}

// find looks into the manifests that fit. The first ones by preference that have a
// module count: they are what containerd has fetched, and a container of this
// machine's platform was made of this machine's manifest.
func find(ctx context.Context, store image.Store, img containerdapi.Image) (*Artifact, error) {
	manifests, err := image.Manifests(ctx, store, img.Target)
	if err != nil {
		return nil, err
	}
	all := sum(manifests)
	for len(manifests) > 0 {
		n := 1
		for n < len(manifests) && manifests[n].Preference == manifests[0].Preference {
			n++
		}
		if found := sum(manifests[:n]); len(found.modules) > 0 {
			return found.artifact(ctx, store, !all.fileSystem)
		}
		manifests = manifests[n:]
	}
	if len(all.others) == 0 && all.config == "" {
		return nil, ErrFileSystem
	}
	return nil, all.none()
}

// parts are what manifests consist of.
type parts struct {
	// modules are layers that are of a type of modules, each once, with the
	// configuration of one image that has it.
	modules []module
	// fileSystem: there are layers of a root file system.
	fileSystem bool
	// others are layers of other types.
	others []image.Layer
	// config is the type of a configuration that no root file system has.
	config string
}

type module struct {
	image.Layer
	config containerdapi.Descriptor
}

func sum(manifests []image.Manifest) parts {
	var p parts
	for _, m := range manifests {
		if !isImageConfig(m.Config.MediaType) {
			p.config = cmp.Or(m.Config.MediaType, "none")
		}
		for _, l := range m.Layers {
			switch {
			case isModule(l.MediaType):
				same := func(o module) bool { return o.Digest == l.Digest }
				if !slices.ContainsFunc(p.modules, same) {
					p.modules = append(p.modules, module{l, m.Config})
				}
			case isFileSystem(l.MediaType):
				p.fileSystem = true
			default:
				p.others = append(p.others, l)
			}
		}
	}
	return p
}

func (p parts) artifact(ctx context.Context, store image.Store, only bool) (*Artifact, error) {
	if len(p.modules) > 1 {
		var layers []image.Layer
		for _, m := range p.modules {
			layers = append(layers, m.Layer)
		}
		return nil, fmt.Errorf("has %d Wasm modules, and nothing says which one to run: make an image of one of them: %s", len(layers), list(layers))
	}
	m := p.modules[0]
	a := &Artifact{layer: m.Layer, config: m.config, only: only}
	if isImageConfig(m.config.MediaType) {
		var err error
		if a.command, err = image.Command(ctx, store, m.config); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// none says what there is in place of a module.
func (p parts) none() error {
	what := "no layers"
	if len(p.others) > 0 {
		what = list(p.others)
	}
	if p.config != "" {
		what = fmt.Sprintf("the configuration %s and %s", shorten(p.config), what)
	}
	return fmt.Errorf("is no root file system and has no Wasm module, but %s: push the module as a layer of type %s", what, typeModule)
}

// mostListed bounds a list in a message.
const mostListed = 8

func list(layers []image.Layer) string {
	var names []string
	for i, l := range layers {
		if i == mostListed {
			names = append(names, fmt.Sprintf("%d more", len(layers)-i))
			break
		}
		names = append(names, fmt.Sprintf("%s (%s, %d bytes)", nameOf(l), shorten(l.MediaType), l.Size))
	}
	return strings.Join(names, ", ")
}

// nameOf is the title of a layer, or the begin of its digest.
func nameOf(l image.Layer) string {
	if l.Title != "" {
		return shorten(l.Title)
	}
	if len(l.Digest) > 19 {
		return shorten(l.Digest[:19])
	}
	return shorten(l.Digest)
}

// shorten makes a stranger's text fit for a message.
func shorten(s string) string { return fmt.Sprintf("%.80q", s) }

// Name is what messages call the module.
func (a *Artifact) Name() string {
	if a.layer.Title != "" {
		return printable.Text(a.layer.Title)
	}
	return a.layer.Digest
}

// Means tells whether a command which no file has the name of means the module. A
// dummy does ("/", which CRI and Docker need because they insist on a command), the
// layer's title, the command that the image has itself, and any name of a module.
// If there is nothing else in the image, any name without a directory does.
func (a *Artifact) Means(command string) bool {
	return a.means(command, a.only)
}

// MeansExec is Means for a further process of a container that was started with the
// command init. A name that could be any program's does not mean the module, or
// "ls" would run it once more.
func (a *Artifact) MeansExec(command, init string) bool {
	return command == init || a.means(command, false)
}

func (a *Artifact) means(command string, bare bool) bool {
	switch name := path.Clean("/" + command); {
	case command == "":
		return false
	case name == "/":
		return true
	case a.layer.Title != "" && name == path.Clean("/"+a.layer.Title):
		return true
	case a.command != "" && command == a.command:
		return true
	case strings.EqualFold(path.Ext(name), ".wasm"):
		return true
	default:
		return bare && !strings.Contains(command, "/")
	}
}

// Refuse is the error for a command that means something else.
func (a *Artifact) Refuse(command string) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
		"process.args[0] %q: no such file or directory: the image is a Wasm artifact, which has nothing but its module %q: make / the command, arguments may follow",
		command, a.Name()))
}
