package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/cgroupfs"
)

// made are directories that were not there before, parents first.
type made struct{ dirs []string }

func (m *made) has(dir string) bool { return slices.Contains(m.dirs, dir) }

// undo removes them. Others may have come to use a parent, which stays then.
func (m *made) undo() {
	for _, dir := range slices.Backward(m.dirs) {
		_ = unix.Rmdir(dir)
	}
}

// mkdir makes dir, and parents where there are none.
func (m *made) mkdir(dir string) error {
	const attempts = 100 // others may remove a parent meanwhile: see undo
	var err error
	for range attempts {
		switch err = unix.Mkdir(dir, 0o755); {
		case err == nil:
			m.dirs = append(m.dirs, dir)
			return nil
		case errors.Is(err, unix.EEXIST):
			return nil
		case !errors.Is(err, unix.ENOENT):
			return &os.PathError{Op: "mkdir", Path: dir, Err: err}
		}
		if err := m.mkdir(filepath.Dir(dir)); err != nil {
			return err
		}
	}
	return &os.PathError{Op: "mkdir", Path: dir, Err: err}
}

// make makes the directories of the cgroup.
func (c *Cgroup) make() (*made, error) {
	m := &made{}
	for _, h := range c.layout.Hierarchies {
		dir := h.Root + c.path
		if err := m.mkdir(dir); err != nil {
			if h.Optional {
				continue
			}
			return m, err
		}
		if !m.has(dir) {
			if err := c.checkUnused(dir); err != nil {
				return m, err
			}
		}
	}
	if c.layout.V2 {
		return m, c.enableControllers()
	}
	return m, nil
}

// checkUnused refuses a cgroup that somebody uses: its members would get the limits
// of the container, and be killed with it.
func (c *Cgroup) checkUnused(dir string) error {
	for _, below := range cgroupfs.Tree(dir) {
		if n := len(cgroupfs.Members(below)); n > 0 {
			return fmt.Errorf("the cgroup is not empty: %d processes are in %s", n, below)
		}
	}
	file, value := "freezer.self_freezing", "1"
	if c.layout.V2 {
		file = "cgroup.freeze"
	}
	if state, err := cgroupfs.Read(dir, file); err == nil && state == value {
		return fmt.Errorf("the cgroup is frozen: %s", dir)
	}
	return nil
}

// prepareCpuset gives a cpuset the CPUs and memory nodes that it is to have, or those
// of its parent. Without, no process can be added.
func (c *Cgroup) prepareCpuset(dir string, fresh bool) error {
	parent, err := cpusetOf(filepath.Dir(dir))
	if err != nil {
		return err
	}
	for i, asked := range []string{c.limits.cpus, c.limits.mems} {
		if asked != "" {
			continue
		}
		if !fresh {
			if own, err := cgroupfs.Read(dir, cpusetFiles[i]); err != nil || own != "" {
				continue
			}
		}
		if err := cgroupfs.Write(dir, cpusetFiles[i], parent[i]); err != nil {
			return err
		}
	}
	return c.apply(c.limits.cpuset())
}

var cpusetFiles = [...]string{"cpuset.cpus", "cpuset.mems"}

// cpusetOf reads the values of a cpuset, and lets it inherit them first where there
// are none. The root of the hierarchy has some.
func cpusetOf(dir string) (values [len(cpusetFiles)]string, err error) {
	for i, file := range cpusetFiles {
		if values[i], err = cgroupfs.Read(dir, file); err != nil {
			return values, err
		}
	}
	if !slices.Contains(values[:], "") {
		return values, nil
	}
	parent, err := cpusetOf(filepath.Dir(dir))
	if err != nil {
		return values, err
	}
	for i, file := range cpusetFiles {
		if values[i] != "" {
			continue
		}
		if err := cgroupfs.Write(dir, file, parent[i]); err != nil {
			return values, err
		}
		values[i] = parent[i]
	}
	return values, nil
}

// controllers that the cgroup has on v2.
func (c *Cgroup) controllers() map[string]bool {
	return controllersOf(c.layout.Unified + c.path)
}

func controllersOf(dir string) map[string]bool {
	found := map[string]bool{}
	text, _ := cgroupfs.Read(dir, "cgroup.controllers")
	for name := range strings.FieldsSeq(text) {
		found[name] = true
	}
	return found
}

// enableControllers hands all controllers of the host down to the cgroup, if it does
// not have them yet. Those that cannot be had are missed when a limit is set.
func (c *Cgroup) enableControllers() error {
	root, dir := c.layout.Unified, c.layout.Unified+c.path
	kind, err := cgroupfs.Read(dir, "cgroup.type")
	if err != nil {
		return err
	}
	all, err := cgroupfs.Read(root, "cgroup.controllers")
	if err != nil {
		return err
	}
	has := c.controllers()
	enabled := !slices.ContainsFunc(strings.Fields(all), func(name string) bool { return !has[name] })
	if enabled && kind == "domain" {
		return nil
	}
	current := root
	for i, name := range strings.Split(c.path, "/") {
		if i > 0 { // the root has no parent's controllers, and no type
			current += "/" + name
			if err := c.checkType(current); err != nil {
				return err
			}
		}
		if current != dir {
			enable(current, strings.Fields(all))
		}
	}
	return nil
}

// enable hands controllers on to the cgroups below dir: all at once, or those of
// them that can be.
func enable(dir string, controllers []string) {
	if len(controllers) == 0 || cgroupfs.Write(dir, "cgroup.subtree_control", "+"+strings.Join(controllers, " +")) == nil {
		return
	}
	for _, name := range controllers {
		_ = cgroupfs.Write(dir, "cgroup.subtree_control", "+"+name)
	}
}

// checkType deals with cgroups in threaded trees, which cannot have all controllers.
// One that would be invalid because there are processes above it becomes threaded,
// which does for the rest.
func (c *Cgroup) checkType(dir string) error {
	kind, err := cgroupfs.Read(dir, "cgroup.type")
	if err != nil || kind == "domain" {
		return err
	}
	if c.limits.needDomain() {
		return fmt.Errorf("the cgroup %s is %s: it cannot limit memory, io, cpu and huge pages", dir, kind)
	}
	if kind == "domain invalid" {
		_ = cgroupfs.Write(dir, "cgroup.type", "threaded")
	}
	return nil
}

// needDomain tells whether there are limits that only a domain can have (cpu is one
// of them for runc).
func (l *limits) needDomain() bool {
	return l.memory != 0 || l.reservation != 0 || l.swap != 0 || l.weight != 0 || len(l.hugepages) > 0 ||
		l.shares != 0 || l.quota != 0 || l.period != 0 || l.idle != nil || l.burst != nil
}
