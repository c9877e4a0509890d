package direct

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/isolated"
)

// view is what can be seen of a container, by names that say where.
type view map[string]string

// absent is what a view does not have.
const absent = "(nothing)"

func (v view) get(key string) string {
	if value, ok := v[key]; ok {
		return value
	}
	return absent
}

// apart are places that differ on purpose.
var apart = []string{"/proc", "/sys", "/dev"}

// lookAt is what the host sees of a process that runs.
func lookAt(t *testing.T, pid int, cgroup string) view {
	t.Helper()
	v := view{}
	proc := func(name string) string {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
		must(t, err)
		return string(data)
	}
	status := statusOf(t, pid)
	for _, name := range credentials {
		v["status "+name] = status[name]
	}
	for _, line := range strings.Split(strings.TrimSpace(proc("limits")), "\n")[1:] {
		const width = 26 // of the column of names
		v["limit "+strings.TrimSpace(line[:width])] = strings.Join(strings.Fields(line[width:]), " ")
	}
	v["oom_score_adj"] = strings.TrimSpace(proc("oom_score_adj"))
	v["timer slack"], v["shim's timer slack"] = timerSlack(t, strconv.Itoa(pid)), timerSlack(t, status["PPid"])
	v["arguments"] = strings.ReplaceAll(proc("cmdline"), "\x00", " ")
	v.namespaces(t, pid)
	v.files(t, fmt.Sprintf("/proc/%d/root", pid))
	v.mounts(proc("mountinfo"))
	v.cgroup(t, proc("cgroup"), cgroup)
	return v
}

// credentials are lines of /proc/<pid>/status that have to be the same.
var credentials = []string{"Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapAmb", "NoNewPrivs", "Umask"}

func statusOf(t *testing.T, pid int) map[string]string {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)
	status := map[string]string{}
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(line, ":")
		status[name] = strings.Join(strings.Fields(value), " ")
	}
	return status
}

// timerSlack of all threads of a process, in nanoseconds.
func timerSlack(t *testing.T, pid string) string {
	t.Helper()
	threads, err := os.ReadDir("/proc/" + pid + "/task")
	must(t, err)
	seen := map[string]bool{}
	for _, thread := range threads {
		// The file is there for every thread, but not in its directory below task.
		data, err := os.ReadFile("/proc/" + thread.Name() + "/timerslack_ns")
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it has ended
		}
		must(t, err)
		seen[strings.TrimSpace(string(data))] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(seen)), ", ")
}

// boundingSet is always empty in the direct launcher. With runc it has what the
// guest may have.
func boundingSet(t *testing.T, pid int) string {
	t.Helper()
	return statusOf(t, pid)["CapBnd"]
}

// kinds of namespaces. That of cgroups differs on purpose, and none is made for time.
var kinds = []string{"net", "ipc", "uts", "pid", "mnt", "user"}

func (v view) namespaces(t *testing.T, pid int) {
	t.Helper()
	for _, kind := range kinds {
		its, host := namespaceOf(t, pid, kind), namespaceOf(t, os.Getpid(), kind)
		v["namespace "+kind] = "its own"
		if its == host {
			v["namespace "+kind] = "the host's"
		}
	}
}

func namespaceOf(t *testing.T, pid int, kind string) string {
	t.Helper()
	link, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
	must(t, err)
	return link
}

// files are those below the root, as their owners see them.
func (v view) files(t *testing.T, root string) {
	t.Helper()
	must(t, filepath.WalkDir(root+"/", func(path string, e fs.DirEntry, err error) error {
		must(t, err)
		name := "/" + strings.TrimPrefix(strings.TrimPrefix(path, root), "/")
		if slices.Contains(apart, name) {
			return fs.SkipDir
		}
		v["file "+name] = describe(t, path)
		return nil
	}))
	for _, name := range []string{"null", "zero", "full", "random", "urandom", "shm", "fd", "stdin", "stdout", "stderr"} {
		v["file /dev/"+name] = describe(t, root+"/dev/"+name)
	}
}

// describe is what does not change about a file by time.
func describe(t *testing.T, path string) string {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return err.Error()
	}
	s := fmt.Sprintf("%o %d:%d", st.Mode, st.Uid, st.Gid)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		s += fmt.Sprintf(" %d bytes", st.Size)
	case unix.S_IFCHR:
		s += fmt.Sprintf(" %d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
	case unix.S_IFLNK:
		target, err := os.Readlink(path)
		must(t, err)
		s += " -> " + target
	}
	return s
}

// mounts are those of /proc/<pid>/mountinfo (proc_pid_mountinfo(5)), without the
// attributes that the direct launcher adds everywhere.
func (v view) mounts(mountinfo string) {
	for line := range strings.Lines(mountinfo) {
		before, after, _ := strings.Cut(line, " - ")
		mount, fs := strings.Fields(before), strings.Fields(after)
		target := mount[4]
		if slices.ContainsFunc(apart, func(p string) bool { return target == p || strings.HasPrefix(target, p+"/") && target != "/dev/shm" }) {
			continue
		}
		options := slices.DeleteFunc(strings.Split(mount[5], ","), func(o string) bool { return slices.Contains([]string{"nosuid", "nodev", "noexec"}, o) })
		slices.Sort(options)
		propagation := slices.DeleteFunc(slices.Clone(mount[6:]), func(o string) bool { return o == "-" })
		for i, p := range propagation {
			propagation[i], _, _ = strings.Cut(p, ":")
		}
		v["mount "+target] = strings.Join(append(append([]string{fs[0]}, options...), propagation...), " ")
		if fs[0] == "tmpfs" {
			super := strings.Split(fs[2], ",")
			slices.Sort(super)
			v["tmpfs "+target] = strings.Join(super, " ")
		}
	}
}

// limitFile are files of a cgroup that hold what somebody has set.
var limitFile = regexp.MustCompile(`^(memory\.(limit_in_bytes|memsw\.limit_in_bytes|soft_limit_in_bytes|swappiness|oom_control|max|high|low|min|swap\.max)` +
	`|cpu\.(shares|cfs_.*_us|weight|max|max\.burst|idle)|cpuset\.(cpus|mems)|pids\.max|blkio\.(bfq\.)?weight|io\.(bfq\.)?weight|hugetlb\..*(limit_in_bytes|max))$`)

// cgroup is where the process is, and what holds for it there.
func (v view) cgroup(t *testing.T, membership, path string) {
	t.Helper()
	for line := range strings.Lines(membership) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		v["cgroup of "+parts[1]] = parts[2]
	}
	for _, dir := range isolated.Cgroups(strings.TrimPrefix(path, "/")) {
		entries, err := os.ReadDir(dir)
		must(t, err)
		for _, e := range entries {
			if !limitFile.MatchString(e.Name()) {
				continue
			}
			data, err := os.ReadFile(filepath.Join(dir, e.Name()))
			must(t, err)
			// oom_control also counts.
			first, _, _ := strings.Cut(strings.TrimSpace(string(data)), "\n")
			v["limit "+e.Name()] = first
		}
	}
}

// enter runs a shell command in namespaces of the process.
func enter(t *testing.T, pid int, command string) string {
	t.Helper()
	out, err := exec.Command("nsenter", "--target", fmt.Sprint(pid), "--net", "--ipc", "--uts", "sh", "-c", command).CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}
