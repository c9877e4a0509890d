package compile

import (
	"errors"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// firstUser is the user and group of the compiler in slot 0, and so on: the
	// letters "waz" and a zero in ASCII. It lies in the range that systemd's list
	// of UIDs and GIDs calls unused (1879048192 to 2147483646), above what is
	// given to containers, so that it owns no file and no other process.
	firstUser = 0x77617a00
	// nobody is for a shim that is in a user namespace itself, where few users
	// exist.
	nobody = 65534
)

// userFor returns the user, and group, as which the compiler in a slot runs.
func userFor(slot int) int {
	if data, err := os.ReadFile("/proc/self/uid_map"); err == nil && allUsers(string(data)) {
		return firstUser + slot
	}
	return nobody
}

// allUsers tells whether a uid_map, user_namespaces(7), is that of the first user
// namespace.
func allUsers(uidMap string) bool {
	return strings.Join(strings.Fields(uidMap), " ") == "0 0 4294967295"
}

// intoUserNamespace makes the process user 0 of a namespace that has no others. In
// it the process may make itself an empty root, outside it is an unknown user.
func intoUserNamespace(attr *syscall.SysProcAttr, user int) {
	attr.Cloneflags |= unix.CLONE_NEWUSER
	one := []syscall.SysProcIDMap{{ContainerID: 0, HostID: user, Size: 1}}
	attr.UidMappings, attr.GidMappings = one, one
	// It has to be allowed in order to leave the shim's groups.
	attr.GidMappingsEnableSetgroups = true
	attr.Credential = &syscall.Credential{}
}

// lacksUserNamespaces recognizes a kernel or a policy without them: a limit of 0
// (ENOSPC), not compiled in (EINVAL), nested too deeply (EUSERS), forbidden.
func lacksUserNamespaces(err error) bool {
	for _, errno := range []error{unix.ENOSPC, unix.EPERM, unix.EACCES, unix.EINVAL, unix.EUSERS, unix.ENOSYS} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}
