package privilege

import (
	"fmt"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// LeaveGroups gives up all supplementary groups. In a user namespace that may be
// denied, with EPERM.
func LeaveGroups() error {
	if err := syscall.Setgroups(nil); err != nil {
		return fmt.Errorf("leave all groups: %w", err)
	}
	return nil
}

// Become makes the process a user, with the group of the same number. Groups have
// to be left before, and the bounding set reduced, while it still may.
func Become(user int) error {
	if err := becomeGroup(user); err != nil {
		return err
	}
	return becomeUser(user)
}

// join gives up all supplementary groups for others. Each change stops all threads
// for a moment, so what is the case already is left alone, here and below.
func join(groups []int) error {
	if now, err := syscall.Getgroups(); err == nil && slices.Equal(now, groups) {
		return nil
	}
	if err := syscall.Setgroups(groups); err != nil {
		return fmt.Errorf("join the groups %v: %w", groups, err)
	}
	return nil
}

func becomeGroup(group int) error {
	if real, effective, saved := unix.Getresgid(); real == group && effective == group && saved == group {
		return nil
	}
	if err := syscall.Setresgid(group, group, group); err != nil {
		return fmt.Errorf("become group %d: %w", group, err)
	}
	return nil
}

func becomeUser(user int) error {
	if real, effective, saved := unix.Getresuid(); real == user && effective == user && saved == user {
		return nil
	}
	if err := syscall.Setresuid(user, user, user); err != nil {
		return fmt.Errorf("become user %d: %w", user, err)
	}
	return nil
}

// Switch makes the process a user with a group and supplementary groups. If it is
// not root it keeps, of what the process has in effect, the capabilities in keep
// and no others; root keeps all (see Drop).
func Switch(user, group int, groups []int, keep []string) error {
	wanted, err := mask(keep)
	if err != nil {
		return err
	}
	have, err := effective()
	if err != nil {
		return err
	}
	if err := join(groups); err != nil {
		return err
	}
	if err := becomeGroup(group); err != nil {
		return err
	}
	if wanted &= have; user == 0 || wanted == 0 {
		return becomeUser(user)
	}
	if err := OnAllThreads("keep capabilities", unix.SYS_PRCTL, unix.PR_SET_KEEPCAPS, 1, 0); err != nil {
		return err
	}
	if err := becomeUser(user); err != nil {
		return err
	}
	return setCapabilities(wanted)
}
