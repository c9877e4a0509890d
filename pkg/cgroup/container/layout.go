package container

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/cgroupfs"
)

// host is the layout of this host, if containers can be made in it.
var host = sync.OnceValues(func() (*cgroupfs.Layout, error) {
	l, err := cgroupfs.Host()
	if err != nil {
		return nil, err
	}
	if l.Missing != "" {
		return nil, fmt.Errorf("the cgroup hierarchy of %s is not mounted at %s", l.Missing, filepath.Join(cgroupfs.Root, l.Missing))
	}
	return l, nil
})

// Available is nil if this package can make cgroups on this host. It knows the
// places where everybody mounts them; runc also finds others.
func Available() error {
	_, err := host()
	return err
}

// checkPath refuses paths that are not one of a container's.
func checkPath(path string) error {
	switch {
	case !strings.HasPrefix(path, "/") || filepath.Clean(path) != path:
		return fmt.Errorf("linux.cgroupsPath %q is not a clean absolute path", path)
	case path == "/":
		return errors.New("linux.cgroupsPath / is the root, which is no container's")
	}
	return nil
}
