package bootstrap

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// joinCgroup puts a process into an existing cgroup: in the unified hierarchy, or
// on cgroup v1 in every hierarchy that has it.
func joinCgroup(root, cgroup string, pid int) error {
	cgroup = filepath.Clean("/" + cgroup)
	procs := []string{filepath.Join(root, cgroup, "cgroup.procs")}
	if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); err != nil {
		v1, err := filepath.Glob(filepath.Join(root, "*"))
		if err != nil {
			return err
		}
		procs = nil
		for _, hierarchy := range v1 {
			path := filepath.Join(hierarchy, cgroup, "cgroup.procs")
			if _, err := os.Stat(path); err == nil {
				procs = append(procs, path)
			}
		}
	}
	if len(procs) == 0 {
		return fmt.Errorf("runtime option ShimCgroup: there is no cgroup %s", cgroup)
	}
	for _, path := range procs {
		if err := appendPid(path, pid); err != nil {
			return fmt.Errorf("runtime option ShimCgroup: %w", err)
		}
	}
	return nil
}

func appendPid(path string, pid int) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(strconv.Itoa(pid))
	return err
}
