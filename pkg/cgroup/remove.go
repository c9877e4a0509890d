package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/containerd/cgroups/v3"
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
	if cgroups.Mode() != cgroups.Unified {
		dirs, _ = filepath.Glob(filepath.Join(root, "*", escape(at)))
	}
	var errs []error
	for _, dir := range dirs {
		if err := removeTree(dir); err != nil {
			errs = append(errs, fmt.Errorf("remove the cgroup %s: %w", at, err))
		}
	}
	return errors.Join(errs...)
}

// escape makes a pattern that matches nothing but path.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// treePatience is how long killed processes may take to leave. It is less than
// containerd gives the delete helper.
const treePatience = 2 * time.Second

func removeTree(top string) error {
	wait := time.Millisecond
	for deadline := time.Now().Add(treePatience); ; wait = min(2*wait, 100*time.Millisecond) {
		var tree []string
		_ = filepath.WalkDir(top, func(dir string, e fs.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				tree = append(tree, dir)
			}
			return nil // one that has gone is no error
		})
		var err error
		for _, dir := range slices.Backward(tree) {
			if rmErr := os.Remove(dir); rmErr != nil && !errors.Is(rmErr, fs.ErrNotExist) {
				err = rmErr
			}
		}
		if err == nil || time.Now().After(deadline) {
			return err
		}
		for _, dir := range tree {
			if put(dir, "cgroup.kill", "1") != nil { // v1, or Linux before 5.14
				killMembers(dir)
				_ = put(dir, "freezer.state", "THAWED") // else they cannot die
			}
		}
		time.Sleep(wait)
	}
}
