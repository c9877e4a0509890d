package cgroupfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// hierarchies of this host that hold processes.
func hierarchies(t *testing.T) []string {
	t.Helper()
	if _, err := os.Stat(filepath.Join(Root, "cgroup.procs")); err == nil {
		return []string{Root}
	}
	var found []string
	for _, name := range []string{"blkio", "pids", "freezer", "unified"} { // the freezer not first
		if _, err := os.Stat(filepath.Join(Root, name, "cgroup.procs")); err == nil {
			found = append(found, filepath.Join(Root, name))
		}
	}
	if len(found) == 0 {
		t.Skip("no cgroups are mounted here")
	}
	return found
}

func TestRemoveEndsFrozenMembersInEveryHierarchy(t *testing.T) {
	t.Parallel()
	var dirs, below []string
	for _, h := range hierarchies(t) {
		dir := filepath.Join(h, fmt.Sprintf("cgroupfs-test-%d", os.Getpid()))
		if err := os.MkdirAll(filepath.Join(dir, "below"), 0o755); err != nil {
			t.Skipf("cannot make a cgroup here: %v", err)
		}
		dirs, below = append(dirs, dir), append(below, filepath.Join(dir, "below"))
	}
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer cmd.Process.Kill()
	frozen := 0
	for i, dir := range below {
		if err := Write(dir, "cgroup.procs", fmt.Sprint(cmd.Process.Pid)); err != nil {
			t.Fatal(err)
		}
		if got := Members(dir); len(got) != 1 || got[0] != cmd.Process.Pid {
			t.Errorf("members of %s are %v", dir, got)
		}
		if Write(dirs[i], "freezer.state", "FROZEN") == nil || len(dirs) == 1 && Write(dirs[i], "cgroup.freeze", "1") == nil {
			frozen++
		}
	}
	if frozen != 1 {
		t.Errorf("frozen %d times", frozen)
	}
	begin := time.Now()
	if err := Remove(dirs...); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > patience {
		t.Errorf("it took %v", took)
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), unix.SIGKILL.String()) {
		t.Errorf("the member ended with %v", err)
	}
	for _, dir := range dirs {
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s is left", dir)
		}
	}
	if err := Remove(dirs...); err != nil {
		t.Errorf("again: %v", err)
	}
}

func TestErrorsSayWhatAndWhere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := Write(dir, "memory.max", "1"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err) // and does not make the file
	}
	if _, err := Read(dir, "memory.max"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	top := hierarchies(t)[0]
	err := Write(top, "cgroup.procs", "nobody"+strings.Repeat("y", 1000))
	if !errors.Is(err, unix.EINVAL) || !strings.Contains(err.Error(), "write nobodyy") || len(err.Error()) > 200 {
		t.Error(err)
	}
}
