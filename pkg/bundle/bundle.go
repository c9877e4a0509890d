// Package bundle is what the shim leaves in a container's bundle directory: the
// files by which a later process — the delete helper, or a shim of another
// version — knows what there is to clean up and how the container ended.
//
// Every file is JSON with a version. Readers ignore fields that they do not
// know, so a newer shim may add some without raising the version; they refuse a
// version that they do not know, because then a field means something else.
package bundle

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/bundle/names"
)

// Names of the files in a bundle that are ours. containerd's own are
// config.json, rootfs, log, work, address, bootstrap.json, shim-binary-path.
const (
	stateFile   = names.State
	exitFile    = names.Exit
	socketFile  = names.Socket
	deletedFile = names.Deleted
	directFile  = "direct.json"
	rootfsDir   = "rootfs"
	runcRootDir = "runc"
	addressFile = names.Address
)

// Dir is the absolute path of a bundle.
type Dir string

// Path joins elem to the bundle's path.
func (d Dir) Path(elem ...string) string {
	return filepath.Join(append([]string{string(d)}, elem...)...)
}

// Rootfs is where the shim mounts the root filesystem that containerd gives it.
// A spec may name another directory as root.path (Docker does).
func (d Dir) Rootfs() string { return d.Path(rootfsDir) }

// RuncRoot is the state directory ("--root") of runc for this container alone,
// so that removing the bundle removes everything.
func (d Dir) RuncRoot() string { return d.Path(runcRootDir) }

// MarkDeleted says that Task.Delete has finished: no process, mount or cgroup of
// the container is left, and the delete helper, which containerd runs after
// every delete, may return at once. Write it last.
func (d Dir) MarkDeleted() error {
	f, err := os.OpenFile(d.Path(deletedFile), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("mark container as deleted: %w", err)
	}
	return f.Close()
}

// Deleted tells whether MarkDeleted has been called for this bundle. It is false
// when in doubt: cleaning up twice is harmless.
func (d Dir) Deleted() bool {
	fi, err := os.Lstat(d.Path(deletedFile))
	return err == nil && fi.Mode().IsRegular()
}

// Exists tells whether the bundle directory is there.
func (d Dir) Exists() bool {
	_, err := os.Stat(string(d))
	return !errors.Is(err, fs.ErrNotExist)
}
