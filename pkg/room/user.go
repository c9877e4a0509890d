package room

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/privilege"
)

// become makes the process the user's: his files, his terminal, his working
// directory, his ids.
func (r *Room) become(keep []string) error {
	if err := r.ownStreams(); err != nil {
		return err
	}
	if r.Terminal {
		if err := unix.IoctlSetInt(0, unix.TIOCSCTTY, 0); err != nil {
			return fmt.Errorf("make the terminal the controlling one: %w", err)
		}
	}
	unix.Umask(int(r.User.Umask))
	groups := make([]int, len(r.User.Groups))
	for i, g := range r.User.Groups {
		groups[i] = int(g)
	}
	// Root may go where the user may not, and the other way round (NFS).
	there := unix.Chdir(r.Cwd)
	if err := privilege.Switch(int(r.User.UID), int(r.User.GID), groups, keep); err != nil {
		return err
	}
	if errors.Is(there, unix.EACCES) {
		there = unix.Chdir(r.Cwd)
	}
	if there != nil {
		return fmt.Errorf("chdir to process.cwd %q: %w", r.Cwd, there)
	}
	return nil
}

// ownStreams lets a user who is not root open his own standard streams again, as
// runc does.
func (r *Room) ownStreams() error {
	for fd := range 3 {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return fmt.Errorf("descriptor %d: %w", fd, err)
		}
		null := st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == unix.Mkdev(1, 3)
		if null || st.Uid == r.User.UID {
			continue
		}
		// EINVAL and EROFS are those of files that cannot belong to him.
		err := unix.Fchown(fd, int(r.User.UID), -1)
		if err != nil && err != unix.EINVAL && err != unix.EROFS && err != unix.EPERM {
			return fmt.Errorf("give descriptor %d to user %d: %w", fd, r.User.UID, err)
		}
	}
	return nil
}

func (l *Limit) set() error {
	if err := unix.Setrlimit(l.Resource, &unix.Rlimit{Cur: l.Soft, Max: l.Hard}); err != nil {
		return fmt.Errorf("process.rlimits %s=%d:%d: %w", l.Name, l.Soft, l.Hard, err)
	}
	return nil
}
