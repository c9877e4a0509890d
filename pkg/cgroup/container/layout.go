package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/cgroupfs"
)

// layout is how the cgroups of a host are mounted.
type layout struct {
	// hierarchies that a container gets a directory in. On cgroup v2 that is one.
	hierarchies []hierarchy
	// unified is the root of the v2 hierarchy, empty if there is none: in the
	// hybrid form it is the last of the hierarchies, and has no controllers.
	unified string
	v2      bool
}

// hierarchy is a mounted cgroup filesystem.
type hierarchy struct {
	root        string
	controllers []string // of v1
	// optional is one without limits, for others to find processes in: there, a
	// container does without.
	optional bool
}

// pathIn is the cgroup that a process is in in this hierarchy. own is its
// /proc/PID/cgroup.
func (h *hierarchy) pathIn(own string) string {
	for line := range strings.Lines(own) {
		_, rest, _ := strings.Cut(line, ":")
		which, path, _ := strings.Cut(strings.TrimSuffix(rest, "\n"), ":")
		first, _, _ := strings.Cut(strings.TrimPrefix(which, "name="), ",")
		if first == "" && len(h.controllers) == 0 || first != "" && slices.Contains(h.controllers, first) {
			return path
		}
	}
	return ""
}

// names are the v1 hierarchies that runc makes a container's cgroup in.
var names = []string{
	"cpuset", "devices", "memory", "cpu", "cpuacct", "pids", "blkio", "hugetlb",
	"net_cls", "net_prio", "perf_event", "freezer", "rdma", "systemd", "misc",
}

var optional = []string{"systemd", "misc"}

// host is the layout of this host, which stays as it is.
var host = sync.OnceValues(func() (*layout, error) {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	return find(string(own))
})

// Available is nil if this package can make cgroups on this host. It knows the
// places where everybody mounts them; runc also finds others.
func Available() error {
	_, err := host()
	return err
}

// find looks the hierarchies up by their names, which is quicker than to search
// all mounts of a node. own is /proc/self/cgroup.
func find(own string) (*layout, error) {
	if kind(cgroupfs.Root) == unix.CGROUP2_SUPER_MAGIC {
		return &layout{hierarchies: []hierarchy{{root: cgroupfs.Root}}, unified: cgroupfs.Root, v2: true}, nil
	}
	l := &layout{}
	seen := map[uint64]int{}
	for _, name := range names {
		root := filepath.Join(cgroupfs.Root, name)
		var st unix.Stat_t
		if unix.Stat(root, &st) != nil || kind(root) != unix.CGROUP_SUPER_MAGIC {
			continue
		}
		if i, ok := seen[st.Dev]; ok { // "cpu" and "cpuacct" may be links to the same
			l.hierarchies[i].controllers = append(l.hierarchies[i].controllers, name)
			continue
		}
		seen[st.Dev] = len(l.hierarchies)
		l.hierarchies = append(l.hierarchies, hierarchy{
			root: root, controllers: []string{name}, optional: slices.Contains(optional, name),
		})
	}
	if missing := l.missing(own); missing != "" {
		return nil, fmt.Errorf("the cgroup hierarchy of %s is not mounted at %s", missing, filepath.Join(cgroupfs.Root, missing))
	}
	if hybrid := filepath.Join(cgroupfs.Root, "unified"); kind(hybrid) == unix.CGROUP2_SUPER_MAGIC {
		l.unified = hybrid
		l.hierarchies = append(l.hierarchies, hierarchy{root: hybrid, optional: true})
	}
	return l, nil
}

func kind(dir string) int64 {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return 0
	}
	return int64(st.Type)
}

// missing is a hierarchy that processes are in and a container must be in, but
// that was not found. Without the one of devices no container is safe.
func (l *layout) missing(own string) string {
	for line := range strings.Lines(own) {
		fields := strings.SplitN(line, ":", 3)
		if len(fields) != 3 || fields[1] == "" {
			continue
		}
		for name := range strings.SplitSeq(fields[1], ",") {
			if _, ok := l.of(name); !ok && slices.Contains(names, name) && !slices.Contains(optional, name) {
				return name
			}
		}
	}
	if _, ok := l.of("devices"); !ok {
		return "devices"
	}
	return ""
}

// of finds the hierarchy of a controller; with v2 there is only one.
func (l *layout) of(controller string) (*hierarchy, bool) {
	if l.v2 {
		return &l.hierarchies[0], true
	}
	for i := range l.hierarchies {
		if slices.Contains(l.hierarchies[i].controllers, controller) {
			return &l.hierarchies[i], true
		}
	}
	return nil, false
}

// dir is where the cgroup path is in the hierarchy of a controller; empty if there
// is no such hierarchy.
func (l *layout) dir(controller, path string) string {
	h, ok := l.of(controller)
	if !ok {
		return ""
	}
	return h.root + path
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
