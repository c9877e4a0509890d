package direct

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/room"
)

// attribute is what an option of a mount does to it.
type attribute struct{ set, clear uint64 }

// attributes by option, for the mount itself; those that begin with r and are in
// recursive are for what is below, too (runtime-spec config.md, "Linux mount
// options").
var (
	attributes = map[string]attribute{
		"ro": {set: unix.MOUNT_ATTR_RDONLY}, "rw": {clear: unix.MOUNT_ATTR_RDONLY},
		"nosuid": {set: unix.MOUNT_ATTR_NOSUID}, "suid": {},
		"nodev": {set: unix.MOUNT_ATTR_NODEV}, "dev": {},
		"noexec": {set: unix.MOUNT_ATTR_NOEXEC}, "exec": {},
		"relatime":    {set: unix.MOUNT_ATTR_RELATIME, clear: unix.MOUNT_ATTR__ATIME},
		"noatime":     {set: unix.MOUNT_ATTR_NOATIME, clear: unix.MOUNT_ATTR__ATIME},
		"strictatime": {set: unix.MOUNT_ATTR_STRICTATIME, clear: unix.MOUNT_ATTR__ATIME},
		"nodiratime":  {set: unix.MOUNT_ATTR_NODIRATIME},
		"nosymfollow": {set: unix.MOUNT_ATTR_NOSYMFOLLOW},
	}
	recursive = map[string]uint64{
		"rro": unix.MOUNT_ATTR_RDONLY, "rnosuid": unix.MOUNT_ATTR_NOSUID,
		"rnodev": unix.MOUNT_ATTR_NODEV, "rnoexec": unix.MOUNT_ATTR_NOEXEC,
	}
	// tmpfsOptions are those of the file system.
	tmpfsOptions = []string{"size", "mode", "uid", "gid", "nr_inodes", "nr_blocks"}
	// standIns are file systems that are left out of the room at their usual place:
	// there is no way to use them.
	standIns = map[string]string{
		"proc": "/proc", "sysfs": "/sys", "cgroup": "/sys/fs/cgroup", "mqueue": "/dev/mqueue", "devpts": "/dev/pts",
	}
)

// leftOut tells whether the room does without a mount.
func leftOut(m *specs.Mount) bool {
	place, ok := standIns[m.Type]
	if !ok || isBind(m) {
		return false
	}
	return path.Join("/", m.Destination) == place
}

func isBind(m *specs.Mount) bool {
	return m.Type == "bind" || slices.Contains(m.Options, "bind") || slices.Contains(m.Options, "rbind")
}

// checkMounts says why the mounts are not for a room, or nothing.
func checkMounts(spec *specs.Spec) string {
	dev := false
	for i := range spec.Mounts {
		m := &spec.Mounts[i]
		if leftOut(m) {
			continue
		}
		dest := path.Join("/", m.Destination)
		if why := checkMount(m, dest); why != "" {
			return fmt.Sprintf("mounts[%d] %s: %s", i, m.Destination, why)
		}
		dev = dev || dest == "/dev"
	}
	if !dev {
		return "mounts: nothing is mounted at /dev"
	}
	return ""
}

func checkMount(m *specs.Mount, dest string) string {
	for _, place := range []string{"/proc", "/sys"} {
		if dest == place || strings.HasPrefix(dest, place+"/") {
			return "it is below " + place + ", which a guest does not have"
		}
	}
	switch {
	case dest == "/":
		return "it hides the root"
	case isBind(m) && dest == "/dev":
		return "the host's devices"
	case isBind(m):
		return checkBind(m)
	case m.Type == "tmpfs":
		return checkTmpfs(m)
	default:
		return fmt.Sprintf("type %q", m.Type)
	}
}

func checkBind(m *specs.Mount) string {
	for _, o := range m.Options {
		switch o {
		case "bind", "rbind", "private", "rprivate", "slave", "rslave", "":
			continue
		}
		_, single := attributes[o]
		_, all := recursive[o]
		if !single && !all {
			return fmt.Sprintf("option %q", o)
		}
	}
	return ""
}

func checkTmpfs(m *specs.Mount) string {
	for _, o := range m.Options {
		switch o {
		case "private", "rprivate", "":
			continue
		}
		key, value, _ := strings.Cut(o, "=")
		_, attribute := attributes[o]
		if !attribute && (value == "" || !slices.Contains(tmpfsOptions, key)) {
			return fmt.Sprintf("option %q", o)
		}
	}
	return ""
}

// roomMounts translates what checkMounts has found to be fine. absolute resolves
// relative sources.
func roomMounts(spec *specs.Spec, absolute func(string) string) []room.Mount {
	var all []room.Mount
	for i := range spec.Mounts {
		m := &spec.Mounts[i]
		if leftOut(m) {
			continue
		}
		all = append(all, roomMount(m, absolute))
	}
	return all
}

func roomMount(m *specs.Mount, absolute func(string) string) room.Mount {
	r := room.Mount{Target: path.Join("/", m.Destination)}
	if isBind(m) {
		r.Source = filepath.Clean(absolute(m.Source))
		r.Recursive = slices.Contains(m.Options, "rbind")
	}
	for _, o := range m.Options {
		if a, ok := attributes[o]; ok {
			r.Set, r.Clear = r.Set&^a.clear|a.set, r.Clear|a.clear // the last one counts
			continue
		}
		r.SetAll |= recursive[o]
		switch o {
		case "slave", "rslave":
			r.Slave = true
		case "private", "rprivate":
			r.Slave = false
		default:
			if key, value, ok := strings.Cut(o, "="); ok && r.Source == "" {
				r.Options = append(r.Options, key+"="+octal(key, value))
			}
		}
	}
	r.Clear &^= r.SetAll
	return r
}

// octal spells a mode as fsconfig(2) wants it, which is how mount(2) does.
func octal(key, value string) string {
	if n, err := strconv.ParseUint(value, 8, 32); err == nil && key == "mode" {
		return strconv.FormatUint(n, 8)
	}
	return value
}
