package cgroupfs

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Of is what the kernel says of the cgroups that a process is in, by its host's pid.
func Of(pid int) (string, error) {
	return Read("/proc/"+strconv.Itoa(pid), "cgroup")
}

// PathIn is the cgroup that a process is in in this hierarchy, empty if in none; own
// is what Of says.
func (h *Hierarchy) PathIn(own string) string {
	for line := range strings.Lines(own) {
		which, path := cut(line)
		first, _, _ := strings.Cut(which, ",")
		if first == "" && len(h.Controllers) == 0 || first != "" && slices.Contains(h.Controllers, first) {
			return path
		}
	}
	return ""
}

// DirOf is the directory of a cgroup that PathIn has named. That is not always below
// the root: of the hierarchy, a container may see no more than its own cgroup, as if
// it were the root, without a cgroup namespace, in which paths would be short, too.
func (h *Hierarchy) DirOf(path string) string {
	var st unix.Stat_t
	if unix.Stat(h.Root, &st) == nil && st.Ino == rootInode {
		return h.Root + path
	}
	root, err := filepath.EvalSymlinks(h.Root) // cpu may be one to cpu,cpuacct
	if err != nil {
		return h.Root + path
	}
	mounts, err := Read("/proc/self", "mountinfo")
	if err != nil {
		return h.Root + path
	}
	return h.Root + below(mountedAt(mounts, root), path)
}

// rootInode is the inode of every hierarchy's root.
const rootInode = 1

// below is path as seen from a parent, or as it is.
func below(parent, path string) string {
	if rest, ok := strings.CutPrefix(path, parent); ok && (rest == "" || rest[0] == '/') {
		return rest
	}
	return path
}

// mountedAt is which directory of its filesystem is mounted last at a place,
// according to a mountinfo.
func mountedAt(mountinfo, place string) string {
	found := "/"
	for line := range strings.Lines(mountinfo) {
		fields := strings.Fields(line)
		if len(fields) > 4 && unescape(fields[4]) == place {
			found = unescape(fields[3])
		}
	}
	return found
}

// unescape reads what the kernel writes for white space and backslashes.
func unescape(text string) string {
	if !strings.Contains(text, `\`) {
		return text
	}
	for _, c := range " \t\n\\" { // the backslash last
		text = strings.ReplaceAll(text, fmt.Sprintf(`\%03o`, c), string(c))
	}
	return text
}
