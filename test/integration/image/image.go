// Package image makes container images from nothing, as OCI archives that
// `ctr images import` reads. It needs no daemon and no Dockerfile frontend.
package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	_ "crypto/sha256" // which go-digest takes from whoever has it
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/opencontainers/go-digest"
)

// Image is a container image made from nothing: one layer with a few files.
type Image struct {
	// Name is the full reference ("docker.io/library/x:latest").
	Name string
	// Platform is "linux/<this machine's architecture>" when empty.
	Platform string
	// Files by absolute path. Directories are made as needed.
	Files map[string]File
	// Config is the image's configuration: entrypoint, environment, cwd, user.
	Config v1.ImageConfig
}

// File is a regular file, a symlink if Link is set, a directory, or a device.
type File struct {
	Data []byte
	Mode int64 // permissions; 0755 when zero
	Link string
	Dir  bool
	// Device is a node.
	Device *Device
	// Size, if greater than len(Data), pads the file with zeros (bytes).
	Size int64
}

// Device is a block device, or a character device if Char is set, by its numbers.
type Device struct {
	Char         bool
	Major, Minor int64
}

// OSArch is the image's platform, with the default filled in.
func (i Image) OSArch() string {
	if i.Platform == "" {
		return "linux/" + runtime.GOARCH
	}
	return i.Platform
}

// WriteArchive writes the image as an OCI archive, as ctr and docker import it.
func (i Image) WriteArchive(path string) error {
	blobs, manifest, err := i.Blobs()
	if err != nil {
		return err
	}
	a := archive{}
	for d, data := range blobs {
		a["blobs/sha256/"+d.Encoded()] = data
	}
	manifest.Annotations = map[string]string{"io.containerd.image.name": i.Name}
	index := v1.Index{MediaType: v1.MediaTypeImageIndex, Manifests: []v1.Descriptor{manifest}}
	index.SchemaVersion = 2
	a[v1.ImageIndexFile] = encode(index)
	a[v1.ImageLayoutFile] = encode(v1.ImageLayout{Version: v1.ImageLayoutVersion})
	data, err := a.tar()
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}

// Blobs are all that the image consists of, by digest, and which of them is its
// manifest.
func (i Image) Blobs() (map[digest.Digest][]byte, v1.Descriptor, error) {
	layer, err := i.layer()
	if err != nil {
		return nil, v1.Descriptor{}, err
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write(layer); err != nil {
		return nil, v1.Descriptor{}, err
	}
	if err := z.Close(); err != nil {
		return nil, v1.Descriptor{}, err
	}
	blobs := map[digest.Digest][]byte{}
	blob := func(mediaType string, data []byte) v1.Descriptor {
		d := digest.FromBytes(data)
		blobs[d] = data
		return v1.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))}
	}
	osName, arch, _ := strings.Cut(i.OSArch(), "/")
	manifest := v1.Manifest{
		MediaType: v1.MediaTypeImageManifest,
		Config: blob(v1.MediaTypeImageConfig, encode(v1.Image{
			Platform: v1.Platform{OS: osName, Architecture: arch},
			Config:   i.Config,
			RootFS:   v1.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromBytes(layer)}},
		})),
		Layers: []v1.Descriptor{blob(v1.MediaTypeImageLayerGzip, zipped.Bytes())},
	}
	manifest.SchemaVersion = 2
	return blobs, blob(v1.MediaTypeImageManifest, encode(manifest)), nil
}

// layer is the image's only layer, as an uncompressed tar.
func (i Image) layer() ([]byte, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	made := map[string]bool{"/": true}
	for _, path := range sorted(i.Files) {
		for _, dir := range parents(path) {
			if !made[dir] {
				made[dir] = true
				if err := w.WriteHeader(&tar.Header{Name: dir[1:] + "/", Typeflag: tar.TypeDir, Mode: 0o755}); err != nil {
					return nil, err
				}
			}
		}
		if err := i.Files[path].write(w, path[1:]); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		made[path] = true
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// Permissions are Mode with the default filled in.
func (f File) Permissions() int64 {
	if f.Mode == 0 {
		return 0o755
	}
	return f.Mode
}

func (f File) write(w *tar.Writer, name string) error {
	mode := f.Permissions()
	switch {
	case f.Link != "":
		return w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: f.Link, Mode: 0o777})
	case f.Dir:
		return w.WriteHeader(&tar.Header{Name: name + "/", Typeflag: tar.TypeDir, Mode: mode})
	case f.Device != nil:
		kind := byte(tar.TypeBlock)
		if f.Device.Char {
			kind = tar.TypeChar
		}
		return w.WriteHeader(&tar.Header{Name: name, Typeflag: kind, Devmajor: f.Device.Major, Devminor: f.Device.Minor, Mode: mode})
	}
	size := max(f.Size, int64(len(f.Data)))
	if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: mode, Size: size}); err != nil {
		return err
	}
	if _, err := w.Write(f.Data); err != nil {
		return err
	}
	_, err := w.Write(make([]byte, size-int64(len(f.Data))))
	return err
}

// archive is the content of an OCI image layout by path.
type archive map[string][]byte

func (a archive) tar() ([]byte, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, name := range sorted(a) {
		if err := (File{Data: a[name], Mode: 0o644}).write(w, name); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// encode is for values of ours that JSON can always represent.
func encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}

// parents of an absolute path, outermost first, without "/".
func parents(path string) []string {
	var dirs []string
	for dir := filepath.Dir(path); dir != "/"; dir = filepath.Dir(dir) {
		dirs = append(dirs, dir)
	}
	slices.Reverse(dirs)
	return dirs
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
