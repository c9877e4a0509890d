package isolated

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// ContainerdConfig configures a containerd that keeps to dir; its gRPC socket is
// dir/c.sock. It is in the format of containerd 1.6, which 2.x migrates in
// memory. Every other path that containerd would use is redirected or disabled.
func ContainerdConfig(dir string) string {
	return daemon(dir, 2, nil, "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime",
		"io.containerd.internal.v1.opt") + "[debug]\n  level = \"trace\"\n"
}

// CRIConfig is the same with the CRI plugin, in a version of the format, 2 or 3. The
// plugin's own tables are for the caller to append: they have names by version.
// Files to import are none unless they are named.
func CRIConfig(dir string, version int, imports ...string) string {
	return daemon(dir, version, imports) + fmt.Sprintf(`[debug]
  level = "debug"
[plugins."io.containerd.internal.v1.opt"]
  path = "%s/opt"
`, dir)
}

// daemon is the part of a configuration that keeps a containerd to dir, without
// plugins that reach beyond it, and those that are named.
func daemon(dir string, version int, imports []string, disabled ...string) string {
	disabled = append(disabled, "io.containerd.nri.v1.nri", "io.containerd.internal.v1.tracing",
		"io.containerd.tracing.processor.v1.otlp", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
		"io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.blockfile",
		"io.containerd.snapshotter.v1.erofs")
	return fmt.Sprintf(`version = %[2]d
imports = [%[3]s]
root = "%[1]s/root"
state = "%[1]s/state"
temp = "%[1]s/tmp"
disabled_plugins = [%[4]s]
[grpc]
  address = "%[1]s/c.sock"
[ttrpc]
  address = "%[1]s/c.sock.ttrpc"
`, dir, version, quoted(imports), quoted(disabled))
}

// quoted makes the elements of an array in TOML.
func quoted(list []string) string {
	var b strings.Builder
	for _, s := range list {
		fmt.Fprintf(&b, "%q, ", s)
	}
	return b.String()
}

// Cgroups are the directories of a cgroup below the root, in each hierarchy of
// v1 and in v2.
func Cgroups(name string) []string {
	var dirs []string
	for _, pattern := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"} {
		found, _ := filepath.Glob(pattern + name)
		dirs = append(dirs, found...)
	}
	return dirs
}

// RemoveCgroups removes them; they have to be empty.
func RemoveCgroups(name string) error {
	for _, dir := range Cgroups(name) {
		if err := os.Remove(dir); err != nil {
			return fmt.Errorf("remove cgroup: %w", err)
		}
	}
	return nil
}

// RemoveEverything ends every process of the namespaces but the caller, and
// removes the cgroups with all below them: what is left to do when something
// went wrong.
func RemoveEverything(name string) error {
	if os.Getppid() != 1 {
		return nil // not in namespaces of our own
	}
	_ = syscall.Kill(-1, syscall.SIGKILL) // spares the caller and pid 1
	return RemoveCgroupTrees(name)
}

// RemoveCgroupTrees removes the cgroups with all below them. It waits a few
// seconds for killed processes to end.
func RemoveCgroupTrees(name string) error {
	var err error
	for range 50 {
		for _, dir := range Cgroups(name) {
			removeCgroupTree(dir)
		}
		if err = RemoveCgroups(name); err == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

// removeCgroupTree removes what it can below and including dir. The files of a
// cgroup go with it.
func removeCgroupTree(dir string) {
	children, _ := os.ReadDir(dir)
	for _, c := range children {
		if c.IsDir() {
			removeCgroupTree(filepath.Join(dir, c.Name()))
		}
	}
	_ = os.Remove(dir)
}

// MakeCgroups makes a cgroup below the root, in each hierarchy of v1 or in v2,
// for programs that want to find it with all controllers.
func MakeCgroups(name string) error {
	const root = "/sys/fs/cgroup"
	if controllers, err := os.ReadFile(root + "/cgroup.controllers"); err == nil {
		dir := filepath.Join(root, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		for _, c := range strings.Fields(string(controllers)) {
			for _, d := range []string{root, dir} {
				// Some cannot be given on, as cpu while there are real-time processes.
				_ = os.WriteFile(filepath.Join(d, "cgroup.subtree_control"), []byte("+"+c), 0)
			}
		}
		return nil
	}
	hierarchies, err := filepath.Glob(root + "/*/cgroup.procs")
	if err != nil {
		return err
	}
	for _, procs := range hierarchies {
		parent := filepath.Dir(procs)
		if target, err := os.Readlink(parent); err == nil && target != "" {
			continue // cpu is a link to cpu,cpuacct
		}
		dir := filepath.Join(parent, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		// In v1 these start empty, and nothing can run there.
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			value, err := os.ReadFile(filepath.Join(parent, file))
			if err != nil {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, file), value, 0); err != nil {
				return err
			}
		}
	}
	return nil
}
