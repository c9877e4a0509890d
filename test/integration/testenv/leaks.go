package testenv

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/isolated"
)

// inventory is what a container may leave behind, as lines for people. Tests
// run in a pid and a mount namespace of their own, so everything counts.
type inventory map[string]bool

// takeInventory lists processes, mounts, cgroups, shim sockets, bundles and CNI's
// records.
func takeInventory(t testing.TB, c *Containerd) inventory {
	t.Helper()
	inv := inventory{}
	for _, list := range []func() ([]string, error){
		processes, mounts, c.cgroups, cniRecords,
		func() ([]string, error) { return entries("socket or fifo", "/run/containerd", regularDir) },
		func() ([]string, error) {
			return entries("file of a task", c.file("state/io.containerd.runtime.v2.task"), func(path string, d fs.DirEntry) bool {
				// containerd renames a bundle to .ID before it removes it; one that is
				// killed in between leaves that for ever, with any shim.
				return regularDir(path, d) || renamedBundle.MatchString(path)
			})
		},
	} {
		lines, err := list()
		if err != nil {
			t.Fatalf("take inventory: %v", err)
		}
		for _, l := range lines {
			inv[l] = true
		}
	}
	return inv
}

// What ends may take some time to do so. A shim that containerd has forgotten waits 3 s for
// clients, and if containerd is away then, 10 s for it to take the last events.
const (
	goingAway = 20 * time.Second
	usual     = 5 * time.Second // what takes longer is logged
)

// renamedBundle matches what containerd is about to remove, in any of its namespaces.
var renamedBundle = regexp.MustCompile(`/io\.containerd\.runtime\.v2\.task/[^/]+/\.`)

// checkLeaks fails the test if something is there that was not there before, and does
// not go away.
func checkLeaks(t testing.TB, c *Containerd, before inventory) {
	t.Helper()
	var left []string
	for begin, late := time.Now(), false; ; time.Sleep(50 * time.Millisecond) {
		left = left[:0]
		for line := range takeInventory(t, c) {
			if !before[line] {
				left = append(left, line)
			}
		}
		if len(left) == 0 {
			// runc removes only the last component of a cgroup's path.
			if err := isolated.RemoveCgroups(c.Namespace); err != nil {
				t.Error(err)
			}
			return
		}
		slices.Sort(left)
		waited := time.Since(begin)
		if waited > Slow(usual) && !late {
			late = true
			t.Logf("still there after %s:\n  %s", waited.Round(time.Millisecond), strings.Join(left, "\n  "))
		}
		if waited > Slow(goingAway) {
			t.Errorf("%d things are left behind:\n  %s", len(left), strings.Join(left, "\n  "))
			removeLeaks(t, c, left)
			return
		}
	}
}

// removeLeaks keeps what a failed test left from outliving it.
func removeLeaks(t testing.TB, c *Containerd, left []string) {
	t.Helper()
	for _, line := range left {
		var pid int
		if _, err := fmt.Sscanf(line, "process %d:", &pid); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		var target string
		if _, err := fmt.Sscanf(line, "mount %s", &target); err == nil {
			_ = syscall.Unmount(target, syscall.MNT_DETACH)
		}
	}
	if err := isolated.RemoveCgroupTrees(c.Namespace); err != nil {
		t.Error(err)
	}
}

// processes lists what runs in this pid namespace, zombies included.
func processes() ([]string, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, dir := range dirs {
		stat, err := os.ReadFile(filepath.Join(dir, "stat"))
		if err != nil {
			continue // it has just ended
		}
		// "pid (comm) state ppid …"; comm may contain anything.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) < 2 {
			continue
		}
		if isolated.UnderSystemd() && fields[1] == "2" {
			continue // of the kernel, which is seen in the first PID namespace
		}
		zombie := fields[0] == "Z"
		if zombie && fields[1] == "1" {
			continue // about to be reaped by our init
		}
		cmdline, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		line := "process " + filepath.Base(dir) + ": " + strings.ReplaceAll(string(cmdline), "\x00", " ")
		if zombie {
			line = "zombie " + filepath.Base(dir) + " of process " + fields[1]
		}
		lines = append(lines, line)
	}
	return lines, nil
}

func mounts() ([]string, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var lines []string
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) > 4 {
			lines = append(lines, "mount "+fields[4]+" #"+fields[0])
		}
	}
	return lines, nil
}

// cgroups lists the containers' cgroups. The one of the containerd namespace
// stays, since runc removes only the last component of a path.
func (c *Containerd) cgroups() ([]string, error) {
	var lines []string
	for _, dir := range isolated.Cgroups(c.Namespace) {
		found, err := entries("cgroup", dir, func(path string, d fs.DirEntry) bool { return !d.IsDir() || path == dir })
		if err != nil {
			return nil, err
		}
		lines = append(lines, found...)
	}
	return lines, nil
}

// entries lists what is below root, without what skip names.
func entries(kind, root string, skip func(string, fs.DirEntry) bool) ([]string, error) {
	var lines []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil // gone meanwhile, or never there
		}
		if err != nil {
			return err
		}
		if !skip(path, d) {
			lines = append(lines, kind+" "+path)
		}
		return nil
	})
	return lines, err
}

// regularDir skips directories that are part of the daemon's layout: those
// above the directory of a bundle. A bundle's own directory counts.
func regularDir(path string, d fs.DirEntry) bool {
	return d.IsDir() && !strings.Contains(filepath.Dir(filepath.Dir(path)), "io.containerd.runtime.v2.task")
}
