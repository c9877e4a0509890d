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
	pids, _ := listed(dir, "cgroup.procs")
	return pids
}

// listed are the numbers in a cgroup's file.
func listed(dir, file string) ([]int, error) {
	text, err := Read(dir, file)
	if err != nil {
		return nil, err
	}
	var pids []int
	for field := range strings.FieldsSeq(text) {
		if pid, err := strconv.Atoi(field); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
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
		if belongs(pid, dir) {
			_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		}
		_ = unix.Close(fd)
	}
}

// belongs tells whether a process is in a cgroup by itself. v1 has it among its members
// as soon as any of its threads is there, which may be the shim's for a moment, when it
// makes a process. The first thread counts, but that of a member may have ended.
func belongs(pid int, dir string) bool {
	threads, err := listed(dir, "tasks")
	if err != nil { // v2
		return slices.Contains(Members(dir), pid)
	}
	return slices.Contains(threads, pid) || firstThreadEnded(pid) && slices.Contains(Members(dir), pid)
}

// firstThreadEnded tells whether others of a process may go on without it. That of a
// Go program never ends before the process.
func firstThreadEnded(pid int) bool {
	stat, err := Read("/proc/"+strconv.Itoa(pid), "stat")
	afterName := strings.LastIndexByte(stat, ')') + len(") ")
	return err == nil && afterName < len(stat) && stat[afterName] == 'Z'
}
