package privilege

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// EmptyRoot leaves nothing of the file system but one empty directory that cannot
// be written to. The mounts of this process must be its own already.
func EmptyRoot() error {
	// Where the new root is mounted does not matter: /proc is always there.
	const place = "/proc"
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"detach the mounts from those of the host", func() error { return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") }},
		{"mount an empty root", func() error { return unix.Mount("tmpfs", place, "tmpfs", flags, "mode=0555,nr_inodes=1,size=4k") }},
		{"enter the empty root", func() error { return unix.Chdir(place) }},
		// The old root comes to lie over the new one, and is taken away there.
		{"make the empty root the root", func() error { return unix.PivotRoot(".", ".") }},
		{"unmount the old root", func() error { return unix.Unmount(".", unix.MNT_DETACH) }},
		{"enter the root", func() error { return unix.Chdir("/") }},
		{"make the root read-only", func() error {
			return unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|flags, "")
		}},
	} {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}
