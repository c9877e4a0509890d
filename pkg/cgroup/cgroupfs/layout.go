package cgroupfs

import (
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Layout is how the cgroups of a host are mounted. It does not change.
type Layout struct {
	// Hierarchies that a container gets a directory in. On cgroup v2 that is one.
	Hierarchies []Hierarchy
	// Unified is the root of the v2 hierarchy, empty if there is none: in the
	// hybrid form it is the last of the hierarchies, and has no controllers.
	Unified string
	V2      bool
	// Missing is a hierarchy that processes are in and a container must be in, but
	// that was not found. Without the one of devices no container is safe.
	Missing string
}

// Hierarchy is a mounted cgroup filesystem.
type Hierarchy struct {
	Root        string
	Controllers []string // of v1
	// Optional is one without limits, for others to find processes in: there, a
	// container does without.
	Optional bool
}

// names are the v1 hierarchies that runc makes a container's cgroup in.
var names = []string{
	"cpuset", "devices", "memory", "cpu", "cpuacct", "pids", "blkio", "hugetlb",
	"net_cls", "net_prio", "perf_event", "freezer", "rdma", "systemd", "misc",
}

var optional = []string{"systemd", "misc"}

// V2 tells whether this host has cgroup v2 only.
var V2 = sync.OnceValue(func() bool { return kind(Root) == unix.CGROUP2_SUPER_MAGIC })

// Host is the layout of this host, with what is found in the usual places. The error
// is that of /proc/self/cgroup.
var Host = sync.OnceValues(func() (*Layout, error) {
	if V2() {
		return &Layout{Hierarchies: []Hierarchy{{Root: Root}}, Unified: Root, V2: true}, nil
	}
	own, err := Read("/proc/self", "cgroup")
	if err != nil {
		return nil, err
	}
	l := find(Root, own)
	if hybrid := Root + "/unified"; kind(hybrid) == unix.CGROUP2_SUPER_MAGIC {
		l.Unified = hybrid
		l.Hierarchies = append(l.Hierarchies, Hierarchy{Root: hybrid, Optional: true})
	}
	return l, nil
})

// find looks the v1 hierarchies up by their names, which is quicker than to search all
// mounts of a node. own is /proc/self/cgroup, which tells which there are.
func find(root, own string) *Layout {
	l := &Layout{}
	for _, name := range names {
		together := controllersWith(own, name)
		if len(together) == 0 || l.has(together) {
			continue
		}
		if dir := root + "/" + name; kind(dir) == unix.CGROUP_SUPER_MAGIC {
			l.Hierarchies = append(l.Hierarchies, Hierarchy{
				Root: dir, Controllers: together, Optional: slices.Contains(optional, name),
			})
		}
	}
	l.Missing = l.missing(own)
	return l
}

func (l *Layout) has(controllers []string) bool {
	_, ok := l.of(controllers[0])
	return ok
}

// controllersWith are those of the hierarchy that a controller is in, or that has this
// name; nil if there is none.
func controllersWith(own, name string) []string {
	for line := range strings.Lines(own) {
		if which, _ := cut(line); which != "" && slices.Contains(strings.Split(which, ","), name) {
			return strings.Split(which, ",")
		}
	}
	return nil
}

// cut returns the controllers, or the name, and the path of a line of
// /proc/PID/cgroup; v2 has no controllers there.
func cut(line string) (controllers, path string) {
	_, rest, _ := strings.Cut(line, ":")
	controllers, path, _ = strings.Cut(strings.TrimSuffix(rest, "\n"), ":")
	return strings.TrimPrefix(controllers, "name="), path
}

func kind(dir string) int64 {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return 0
	}
	return int64(st.Type)
}

func (l *Layout) missing(own string) string {
	for line := range strings.Lines(own) {
		which, _ := cut(line)
		for name := range strings.SplitSeq(which, ",") {
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
func (l *Layout) of(controller string) (*Hierarchy, bool) {
	if l.V2 {
		return &l.Hierarchies[0], true
	}
	for i := range l.Hierarchies {
		if slices.Contains(l.Hierarchies[i].Controllers, controller) {
			return &l.Hierarchies[i], true
		}
	}
	return nil, false
}

// Dir is where the cgroup path is in the hierarchy of a controller; empty if there
// is no such hierarchy.
func (l *Layout) Dir(controller, path string) string {
	h, ok := l.of(controller)
	if !ok {
		return ""
	}
	return h.Root + path
}

// Dirs of the cgroup path in all hierarchies.
func (l *Layout) Dirs(path string) []string {
	dirs := make([]string, len(l.Hierarchies))
	for i, h := range l.Hierarchies {
		dirs[i] = h.Root + path
	}
	return dirs
}

// V1 are the hierarchies of v1, which come first; with v2, there are none.
func (l *Layout) V1() []Hierarchy {
	if l.Unified == "" {
		return l.Hierarchies
	}
	return l.Hierarchies[:len(l.Hierarchies)-1]
}
