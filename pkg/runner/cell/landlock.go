package cell

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Versions of Landlock's interface that brought something (landlock(7)).
const (
	landlockRefer  = 2
	landlockTCP    = 4
	landlockDevice = 5
	landlockScopes = 6
)

// landlockThreads is the correction without which a thread cannot send signals to
// the other threads of its process, each of which has a domain of its own. The Go
// runtime does that all the time.
const landlockThreads = 1 << 1

// restrictFiles is a second wall, where the kernel has one: it holds for whatever
// way leads to a file or a socket, while the filter of system calls holds for the
// ways that are known.
func restrictFiles() error {
	rules, err := landlockRules()
	if err != nil || rules == (unix.LandlockRulesetAttr{}) {
		return err
	}
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&rules)), unsafe.Sizeof(rules), 0)
	if errno != 0 {
		return fmt.Errorf("create a Landlock ruleset: %w", errno)
	}
	defer unix.Close(int(fd))
	if err := allowBeneathRoot(int(fd), unix.LANDLOCK_ACCESS_FS_REFER); err != nil {
		return err
	}
	// It is a property of threads.
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); errno != 0 {
		return fmt.Errorf("enforce a Landlock ruleset: %w", errno)
	}
	return nil
}

// landlockRules returns what is denied, as far as this kernel can, or nothing.
func landlockRules() (rules unix.LandlockRulesetAttr, err error) {
	version, err := landlockQuery(unix.LANDLOCK_CREATE_RULESET_VERSION)
	// Before this version, no file could be moved to another directory.
	if err != nil || version < landlockRefer {
		return rules, err
	}
	// Moving is denied whatever a ruleset says, unless it says otherwise.
	rules.Access_fs = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK |
		unix.LANDLOCK_ACCESS_FS_REFER
	if version >= landlockTCP {
		rules.Access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	}
	if version >= landlockDevice {
		rules.Access_fs |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	if version < landlockScopes {
		return rules, nil
	}
	rules.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
	// Kernels that cannot tell have not been corrected.
	if corrected, err := landlockQuery(unix.LANDLOCK_CREATE_RULESET_ERRATA); err == nil && corrected&landlockThreads != 0 {
		rules.Scoped |= unix.LANDLOCK_SCOPE_SIGNAL
	}
	return rules, nil
}

// landlockQuery returns 0 if the kernel has no Landlock.
func landlockQuery(what uintptr) (int, error) {
	n, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, what)
	switch {
	case errno == 0:
		return int(n), nil
	case errors.Is(errno, unix.ENOSYS), errors.Is(errno, unix.EOPNOTSUPP):
		return 0, nil
	case errors.Is(errno, unix.EPERM): // a container's seccomp profile
		return 0, nil
	default:
		return 0, fmt.Errorf("ask for Landlock: %w", errno)
	}
}

// allowBeneathRoot allows what a ruleset denies in all files that have a name.
func allowBeneathRoot(ruleset int, access uint64) error {
	root, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the root: %w", err)
	}
	defer unix.Close(root)
	rule := unix.LandlockPathBeneathAttr{Allowed_access: access, Parent_fd: int32(root)}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(ruleset), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
	if errno != 0 {
		return fmt.Errorf("add a Landlock rule: %w", errno)
	}
	return nil
}
