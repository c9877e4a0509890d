package cgroupfs

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Members are the processes in a cgroup, not of those below it; none if it is
// gone.
func Members(dir string) []int {
	text, err := Read(dir, "cgroup.procs")
	if err != nil {
		return nil
	}
	var pids []int
	for field := range strings.FieldsSeq(text) {
		if pid, err := strconv.Atoi(field); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Tree is the cgroup dir with those below it, parents first; none if it is gone.
func Tree(dir string) []string {
	var tree []string
	_ = filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			tree = append(tree, name)
		}
		return nil // one that has gone is no error
	})
	return tree
}

// Kill sends SIGKILL to the members of a cgroup; where the kernel has a file for
// that, also to those of the cgroups below it.
func Kill(dir string) {
	if Write(dir, "cgroup.kill", "1") != nil { // v1, or Linux before 5.14
		killMembers(dir)
	}
}

// killMembers looks again after it has got hold of a process, because its pid may
// be somebody else's by then.
func killMembers(dir string) {
	for _, pid := range Members(dir) {
		if pid == os.Getpid() { // while one of its threads makes a process there
			continue
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue
		}
		if slices.Contains(Members(dir), pid) {
			_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		}
		_ = unix.Close(fd)
	}
}
