package rootfs

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// options are the options of a mount, taken apart.
type options struct {
	flags  uintptr
	data   []string // for the file system
	loop   bool     // the source is the image of a file system
	direct bool     // without the page cache for the image
	// The mappings "container:host:size,…" between the users of what is mounted and
	// those on disk. One alone counts for nothing.
	uids, gids string
}

// known are the options that are flags of mount(2). A table, as a map would have to
// be made in every process.
var known = []struct {
	option     string
	set, clear uintptr
}{
	{option: "async", clear: unix.MS_SYNCHRONOUS},
	{option: "atime", clear: unix.MS_NOATIME},
	{option: "bind", set: unix.MS_BIND},
	{option: "dev", clear: unix.MS_NODEV},
	{option: "diratime", clear: unix.MS_NODIRATIME},
	{option: "dirsync", set: unix.MS_DIRSYNC},
	{option: "exec", clear: unix.MS_NOEXEC},
	{option: "mand", set: unix.MS_MANDLOCK},
	{option: "noatime", set: unix.MS_NOATIME},
	{option: "nodev", set: unix.MS_NODEV},
	{option: "nodiratime", set: unix.MS_NODIRATIME},
	{option: "noexec", set: unix.MS_NOEXEC},
	{option: "nomand", clear: unix.MS_MANDLOCK},
	{option: "norelatime", clear: unix.MS_RELATIME},
	{option: "nostrictatime", clear: unix.MS_STRICTATIME},
	{option: "nosuid", set: unix.MS_NOSUID},
	{option: "rbind", set: unix.MS_BIND | unix.MS_REC},
	{option: "relatime", set: unix.MS_RELATIME},
	{option: "remount", set: unix.MS_REMOUNT},
	{option: "ro", set: unix.MS_RDONLY},
	{option: "rw", clear: unix.MS_RDONLY},
	{option: "strictatime", set: unix.MS_STRICTATIME},
	{option: "suid", clear: unix.MS_NOSUID},
	{option: "sync", set: unix.MS_SYNCHRONOUS},
}

// setFlag returns false if an option is none of the flags.
func (o *options) setFlag(option string) bool {
	for _, k := range known {
		if k.option == option {
			o.flags = o.flags&^k.clear | k.set
			return true
		}
	}
	return false
}

func parse(list []string) (*options, error) {
	o := &options{}
	for _, option := range list {
		name, value, _ := strings.Cut(option, "=")
		switch {
		case o.setFlag(option):
		case strings.HasPrefix(option, "X-containerd."):
			return nil, fmt.Errorf("internal mount option %q was not consumed by the mount manager", option)
		case option == "loop":
			o.loop = true
		case name == "uidmap":
			o.uids = value
		case name == "gidmap":
			o.gids = value
		default:
			o.data = append(o.data, option)
		}
	}
	if o.loop {
		o.data, o.direct = without(o.data, "direct-io")
	}
	return o, nil
}

// without returns a list without an entry, and whether that was there.
func without(list []string, entry string) (rest []string, was bool) {
	for _, e := range list {
		if e == entry {
			was = true
			continue
		}
		rest = append(rest, e)
	}
	return rest, was
}

// mount calls mount(2), on a thread with the working directory dir unless that is
// empty.
func (o *options) mount(dir, source, target, kind string) error {
	data := strings.Join(o.data, ",")
	if len(data) >= os.Getpagesize() { // what the kernel takes, with a zero at the end
		return errors.New("mount options is too long")
	}
	call := func() error { return unix.Mount(source, target, kind, o.flags, data) }
	var err error
	if dir == "" {
		err = call()
	} else {
		err = in(dir, call)
	}
	if err != nil {
		return fmt.Errorf("mount source: %q, target: %q, fstype: %s, flags: %d, data: %q, err: %w", source, target, kind, o.flags, data, err)
	}
	return nil
}

// protect makes a bind mount read-only, which takes a second call.
func (o *options) protect(target string) error {
	const readonly = unix.MS_BIND | unix.MS_RDONLY
	if o.flags&readonly != readonly {
		return nil
	}
	err := unix.Mount("", target, "", o.flags|unix.MS_REMOUNT, "")
	if errors.Is(err, unix.EPERM) {
		// In a user namespace some flags of the source must stay.
		var locked uintptr
		if locked, err = flagsOf(target); err == nil {
			err = unix.Mount("", target, "", o.flags|locked|unix.MS_REMOUNT, "")
		}
	}
	if err != nil {
		return fmt.Errorf("make %s read-only: %w", target, err)
	}
	return nil
}

// flagsOf are the flags of the mount that path is on, those of mount(2).
func flagsOf(path string) (flags uintptr, err error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil {
		return 0, err
	}
	for st, ms := range map[int64]uintptr{
		unix.ST_RDONLY: unix.MS_RDONLY, unix.ST_NODEV: unix.MS_NODEV, unix.ST_NOEXEC: unix.MS_NOEXEC, unix.ST_NOSUID: unix.MS_NOSUID,
		unix.ST_NOATIME: unix.MS_NOATIME, unix.ST_NODIRATIME: unix.MS_NODIRATIME, unix.ST_RELATIME: unix.MS_RELATIME,
	} {
		if int64(fs.Flags)&st != 0 {
			flags |= ms
		}
	}
	return flags, nil
}
