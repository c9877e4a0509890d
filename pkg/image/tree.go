package image

import (
	"fmt"
	"path"
	"strings"
)

// tree holds the modules of layers laid over each other, by path. It knows nothing
// of other files, so that it stays small whatever the image.
//
// Paths are as the archives have them. A directory that a lower layer made a
// symbolic link is not followed, as if each path named another file: then a module
// may be found although it is hidden, which costs nothing but time.
type tree struct {
	modules map[string]Module
	// below counts the modules below each directory.
	below map[string]int
}

func newTree() *tree { return &tree{modules: map[string]Module{}, below: map[string]int{}} }

func (t *tree) add(p string, m Module) error {
	t.removeFile(p)
	if len(t.modules) == maxModules {
		return fmt.Errorf("it has more than %d modules", maxModules)
	}
	t.modules[p] = m
	for dir := path.Dir(p); ; dir = path.Dir(dir) {
		t.below[dir]++
		if dir == "/" {
			return nil
		}
	}
}

func (t *tree) removeFile(p string) {
	if _, ok := t.modules[p]; !ok {
		return
	}
	delete(t.modules, p)
	for dir := path.Dir(p); ; dir = path.Dir(dir) {
		if t.below[dir]--; t.below[dir] == 0 {
			delete(t.below, dir)
		}
		if dir == "/" {
			return
		}
	}
}

func (t *tree) removeBelow(dir string) {
	if t.below[dir] == 0 {
		return
	}
	prefix := strings.TrimSuffix(dir, "/") + "/"
	for p := range t.modules {
		if strings.HasPrefix(p, prefix) {
			t.removeFile(p)
		}
	}
}

// remove removes a file, or a directory with all below it.
func (t *tree) remove(p string) {
	t.removeFile(p)
	t.removeBelow(p)
}

// Whiteouts, OCI image specification, "layer.md": a file of this name hides what
// has the rest of its name in lower layers, or everything in the directory.
const (
	whiteout = ".wh."
	opaque   = ".wh..wh..opq"
	// whiteoutMeta begins names of AUFS's own files.
	whiteoutMeta = ".wh..wh."
)

// hide applies a whiteout and tells whether p was one.
func (t *tree) hide(p string) bool {
	dir, base := path.Split(p)
	dir = path.Clean(dir)
	switch {
	case base == opaque:
		t.removeBelow(dir)
	case strings.HasPrefix(base, whiteoutMeta):
	case strings.HasPrefix(base, whiteout):
		t.remove(path.Join(dir, strings.TrimPrefix(base, whiteout)))
	default:
		return false
	}
	return true
}

// cleanPath is the path of an archive's entry, from "/" on.
func cleanPath(name string) (string, error) {
	if len(name) > maxPath {
		return "", fmt.Errorf("it has a path of %d bytes", len(name))
	}
	p := path.Clean("/" + name)
	if n := strings.Count(p, "/"); n > maxNesting {
		return "", fmt.Errorf("it has a path of %d directories", n)
	}
	return p, nil
}
