package rootfs

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// users is a user namespace with the mappings of the options, or nil.
func (o *options) users() (*os.File, error) {
	if o.uids == "" || o.gids == "" {
		return nil, nil
	}
	uids, err := mappings(o.uids)
	if err != nil {
		return nil, err
	}
	gids, err := mappings(o.gids)
	if err != nil {
		return nil, err
	}
	return userNamespace(uids, gids)
}

// mappings reads "container:host:size,…".
func mappings(list string) (all []syscall.SysProcIDMap, err error) {
	for entry := range strings.SplitSeq(list, ",") {
		var n [3]int
		parts := strings.Split(entry, ":")
		if len(parts) != len(n) {
			return nil, fmt.Errorf("user namespace mappings require the format `container-id:host-id:size`, got %q", entry)
		}
		for i, part := range parts {
			value, err := strconv.ParseUint(part, 10, 32)
			if err != nil {
				return nil, fmt.Errorf("user namespace mapping %q: %w", entry, err)
			}
			n[i] = int(value)
		}
		all = append(all, syscall.SysProcIDMap{ContainerID: n[0], HostID: n[1], Size: n[2]})
	}
	return all, nil
}

// userNamespace makes one. That takes a process in it, which is stopped before it
// runs anything (by ptrace) and then killed; the shim's reaper may be the one who
// waits for it.
func userNamespace(uids, gids []syscall.SysProcIDMap) (*os.File, error) {
	runtime.LockOSThread() // the tracer
	defer runtime.UnlockOSThread()
	process, err := os.StartProcess("/proc/self/exe", []string{"user namespace"}, &os.ProcAttr{
		Sys: &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER,
			UidMappings: uids, GidMappings: gids,
			Ptrace: true, Pdeathsig: syscall.SIGKILL,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("failed to start noop process for unshare: %w", err)
	}
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", process.Pid))
	_ = process.Kill()
	_, _ = process.Wait()
	if err != nil {
		return nil, fmt.Errorf("failed to get userns file descriptor: %w", err)
	}
	return f, nil
}

// mapUsers mounts what is mounted at a path at another one, or over itself, with
// users mapped as in a user namespace (Linux 5.12).
func mapUsers(source, target string, users *os.File, attributes uint64) error {
	tree, err := unix.OpenTree(unix.AT_FDCWD, source, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return fmt.Errorf("unable to open tree for %s: %w", source, err)
	}
	defer unix.Close(tree)
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{
		Attr_set: unix.MOUNT_ATTR_IDMAP | attributes, Propagation: unix.MS_PRIVATE, Userns_fd: uint64(users.Fd()),
	}); err != nil {
		return fmt.Errorf("unable to shift GID/UID or set mount attrs for %s: %w", source, err)
	}
	if err := unix.MoveMount(tree, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("unable to attach mount tree to %s: %w", target, err)
	}
	return nil
}
