package cgroup

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/cgroupfs"
)

// RemovePath kills what is in the cgroup /path of every hierarchy, and in those
// below it, and removes them. It is for what others have made and nobody looks
// after any more. Nothing there is no error.
func RemovePath(at string) error {
	at = path.Clean("/" + at)
	if at == "/" {
		return errors.New("remove a cgroup: the root is not one that can be removed")
	}
	dirs := []string{filepath.Join(root, at)}
	if !cgroupfs.V2() {
		dirs, _ = filepath.Glob(filepath.Join(root, "*", escape(at)))
	}
	if err := cgroupfs.Remove(dirs...); err != nil {
		return fmt.Errorf("remove the cgroup %s: %w", at, err)
	}
	return nil
}

// escape makes a pattern that matches nothing but path.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}
