package cgroupfs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFind finds this host's hierarchies in places of the test's own.
func TestFind(t *testing.T) {
	t.Parallel()
	if V2() || os.Getuid() != 0 {
		t.Skip("needs root, and cgroup v1")
	}
	l, err := Host()
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	own := "0::/x\n"
	want := &Layout{}
	for i, h := range l.V1() {
		line := strings.Join(h.Controllers, ",")
		if h.Optional {
			line = "name=" + line
		}
		own = fmt.Sprintf("%d:%s:/a:b,c\n", i+1, line) + own
		name := filepath.Base(h.Root)
		if err := os.Symlink(h.Root, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
		want.Hierarchies = append(want.Hierarchies, Hierarchy{Root: root + "/" + name, Controllers: h.Controllers, Optional: h.Optional})
	}
	check := func(root, own string, want *Layout) {
		t.Helper()
		got := find(root, own)
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Errorf("%s\n%+v, want\n%+v", own, got, want)
		}
	}
	check(root, own, want)
	// Two controllers in one hierarchy, both names of which lead to it.
	check(root, "3:cpuacct,cpu:/\n4:devices:/\n5:foreign:/\n", &Layout{Hierarchies: []Hierarchy{
		{Root: root + "/devices", Controllers: []string{"devices"}}, {Root: root + "/cpu", Controllers: []string{"cpuacct", "cpu"}},
	}})
	// One that is not there, or is no hierarchy.
	if err := os.Mkdir(filepath.Join(root, "perf_event"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, missing := range map[string]string{"net_cls": "net_cls", "perf_event": "perf_event", "name=misc": ""} {
		check(root, "1:devices:/\n2:"+name+":/\n", &Layout{
			Hierarchies: []Hierarchy{{Root: root + "/devices", Controllers: []string{"devices"}}}, Missing: missing,
		})
	}
	check(root, "2:pids:/\n", &Layout{Hierarchies: []Hierarchy{{Root: root + "/pids", Controllers: []string{"pids"}}}, Missing: "devices"})
}

func TestHostIsWhereProcessesAre(t *testing.T) {
	t.Parallel()
	l, err := Host()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	own, err := Of(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range l.Hierarchies {
		path := h.PathIn(own)
		if path == "" {
			t.Errorf("%s is not in %s", h.Root, own)
			continue
		}
		if dir := h.DirOf(path); !slices.Contains(Members(dir), cmd.Process.Pid) {
			t.Errorf("it is not in %s", dir)
		}
	}
	if l.V2 != (len(l.Hierarchies) == 1 && l.Hierarchies[0].Root == Root) || l.V2 && len(l.V1()) > 0 {
		t.Errorf("%+v", l)
	}
}

func TestPathIn(t *testing.T) {
	t.Parallel()
	const own = "12:name=systemd:/s\n4:memory:/kubepods/pod:1,2\n3:cpu,cpuacct:/c\n0::/u v\n"
	for want, h := range map[string]Hierarchy{
		"/kubepods/pod:1,2": {Controllers: []string{"memory"}}, "/c": {Controllers: []string{"cpu", "cpuacct"}},
		"/s": {Controllers: []string{"systemd"}}, "/u v": {}, "": {Controllers: []string{"pids"}},
	} {
		if got := h.PathIn(own); got != want {
			t.Errorf("%v: %q, want %q", h, got, want)
		}
	}
}

// TestDirOfAContainer is what a container without a cgroup namespace sees: its own
// cgroup as the root.
func TestDirOfAContainer(t *testing.T) {
	l, err := Host()
	if err != nil || os.Getuid() != 0 {
		t.Skip("needs root and cgroups")
	}
	name := fmt.Sprintf("layout test \\x2d %d", os.Getpid())
	whole := l.Hierarchies[0].Root + "/" + name
	if err := os.MkdirAll(whole+"/below", 0o755); err != nil {
		t.Skip(err)
	}
	defer Remove(whole)
	seen := t.TempDir()
	if err := unix.Mount(whole, seen, "", unix.MS_BIND, ""); err != nil {
		t.Skip(err)
	}
	defer unix.Unmount(seen, unix.MNT_DETACH)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(seen, link); err != nil {
		t.Fatal(err)
	}
	for _, root := range []string{seen, link} {
		h := &Hierarchy{Root: root}
		for path, want := range map[string]string{
			"/" + name + "/below": root + "/below", "/" + name: root, "/" + name + "x": root + "/" + name + "x", "/": root + "/",
		} {
			if got := h.DirOf(path); got != want {
				t.Errorf("%s: %q, want %q", path, got, want)
			}
		}
	}
	if h := l.Hierarchies[0]; h.DirOf("/"+name) != whole {
		t.Errorf("%q, want %q", h.DirOf("/"+name), whole)
	}
}

func TestMountedAt(t *testing.T) {
	t.Parallel()
	const mounts = `31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw
32 31 0:29 / /a rw,relatime shared:1 - cgroup cgroup rw,cpu
33 31 0:29 /docker/b /a rw,relatime - cgroup cgroup rw,cpu
34 31 0:29 /a\134x2db\134040\040c /white\040space rw - cgroup cgroup rw
broken
`
	for place, want := range map[string]string{"/a": "/docker/b", "/sys/fs/cgroup": "/", "/nowhere": "/", "/white space": `/a\x2db\040 c`} {
		if got := mountedAt(mounts, place); got != want {
			t.Errorf("%s: %q, want %q", place, got, want)
		}
	}
}
