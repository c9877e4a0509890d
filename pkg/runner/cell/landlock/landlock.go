// Package landlock denies a process what no guest does with files and sockets, by
// means of the kernel's Landlock. It is a second wall behind the filter of system
// calls, which holds for the ways to a file or a socket that are known: Landlock
// holds for all of them.
package landlock

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Versions of Landlock's interface that brought something (landlock(7)).
const (
	withRefer  = 2
	withTCP    = 4
	withDevice = 5
	withScopes = 6
)

// signalsOfThreads is the correction without which a thread cannot send signals to
// the other threads of its process, each of which has a domain of its own. The Go
// runtime does that all the time.
const signalsOfThreads = 1 << 1

// Restrict binds all threads, for ever: no file can be executed, no device made or
// controlled, no TCP port bound or connected to unless tcp is allowed, no process
// outside be signalled or met at an abstract socket. What the kernel does not know
// is left out without a word. no_new_privs has to be set.
func Restrict(tcp bool) error {
	rules, err := denied(tcp)
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

// denied is what this kernel can deny.
func denied(tcp bool) (rules unix.LandlockRulesetAttr, err error) {
	version, err := query(unix.LANDLOCK_CREATE_RULESET_VERSION)
	// Before this version, no file could be moved to another directory.
	if err != nil || version < withRefer {
		return rules, err
	}
	// Moving is denied whatever a ruleset says, unless it says otherwise.
	rules.Access_fs = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK |
		unix.LANDLOCK_ACCESS_FS_REFER
	if version >= withTCP && !tcp {
		rules.Access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	}
	if version >= withDevice {
		rules.Access_fs |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	if version < withScopes {
		return rules, nil
	}
	rules.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
	// Kernels that cannot tell have not been corrected.
	if corrected, err := query(unix.LANDLOCK_CREATE_RULESET_ERRATA); err == nil && corrected&signalsOfThreads != 0 {
		rules.Scoped |= unix.LANDLOCK_SCOPE_SIGNAL
	}
	return rules, nil
}

// query returns 0 if the kernel has no Landlock.
func query(what uintptr) (int, error) {
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
