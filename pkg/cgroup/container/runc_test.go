package container

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/cgroupfs"
)

// runcVersion is the one that this package does as.
const runcVersion = "1.5.2"

// compared are resources of a new container, and updates of it, as they are in JSON.
var compared = []struct {
	create  string
	updates []string
}{
	{`{}`, []string{`{}`, `{"memory":{"limit":67108864}}`, `{"memory":{"limit":-1}}`}},
	// Docker's defaults.
	{`{"memory":{},"cpu":{"shares":0},"pids":{"limit":0},"blockIO":{"weight":0}}`, []string{`{"pids":{"limit":100}}`, `{"pids":{"limit":-1}}`}},
	{`{"memory":{"limit":67108864,"reservation":33554432,"swap":134217728,"disableOOMKiller":false},
		"cpu":{"shares":512,"quota":50000,"period":100000,"realtimeRuntime":0,"realtimePeriod":0,"cpus":"0","mems":"0"},"pids":{"limit":100},"blockIO":{"weight":0}}`,
		[]string{
			`{"memory":{"limit":134217728,"swap":268435456}}`, // more: swap goes first on v1
			`{"memory":{"limit":33554432,"swap":33554432}}`,   // less: memory does
			`{"memory":{"limit":67108864}}`,                   // more than memory and swap: refused on both
			`{"memory":{"swap":-1}}`,
			`{"cpu":{"quota":20000}}`, `{"cpu":{"period":40000}}`, `{"cpu":{"quota":-1}}`, `{"cpu":{"shares":2}}`, `{"cpu":{"cpus":"0-1"}}`,
			`{"cpu":{"quota":80000,"period":90000,"burst":70000}}`,
			`{"cpu":{"quota":1}}`,
			`{"cpu":{"idle":1}}`, `{"cpu":{"idle":0}}`,
			`{"blockIO":{"weight":300}}`,
			`{"memory":{"limit":1073741824,"swap":2147483648,"checkBeforeUpdate":true}}`,
			`{"memory":{"limit":4096,"swap":4096}}`, // less than is in use
		}},
	// Kubernetes.
	{`{"memory":{"limit":268435456,"swap":268435456},"cpu":{"shares":102,"quota":10000,"period":100000}}`, []string{`{"memory":{"limit":536870912,"swap":536870912}}`}},
	{`{"memory":{"limit":268435456,"swap":268435456},"cpu":{"shares":2},"unified":{"memory.oom.group":"1","memory.swap.max":"0","memory.high":"214748364"}}`,
		[]string{`{"unified":{"memory.high":"max"}}`}},
	{`{"hugepageLimits":[{"pageSize":"2MB","limit":0},{"pageSize":"1GB","limit":1073741824}]}`, nil},
	{`{"memory":{"swappiness":0,"disableOOMKiller":true}}`, nil},
	{`{"memory":{"swappiness":100}}`, nil},
	{`{"memory":{"limit":-1}}`, nil},
	{`{"memory":{"limit":67108864,"swap":-1}}`, nil},
	{`{"memory":{"reservation":-1}}`, nil},
	{`{"cpu":{"cpus":"1"}}`, nil},
	{`{"cpu":{"mems":"0"}}`, nil},
	{`{"cpu":{"shares":262144}}`, nil},
	{`{"cpu":{"quota":-1,"period":20000}}`, nil},
	{`{"cpu":{"quota":20000,"period":50000,"burst":10000}}`, nil},
	{`{"cpu":{"idle":1}}`, []string{`{"cpu":{"shares":1024}}`}},
	{`{"pids":{"limit":-1}}`, nil},
	{`{"blockIO":{"weight":10}}`, nil},
	{`{"blockIO":{"weight":1000}}`, nil},
	// Errors.
	{`{"memory":{"swap":67108864}}`, nil},
	{`{"memory":{"limit":67108864,"swap":33554432}}`, nil},
	{`{"memory":{"limit":-2}}`, nil},
	{`{"memory":{"swappiness":101}}`, nil},
	{`{"cpu":{"shares":1}}`, nil},
	{`{"cpu":{"shares":262145}}`, nil},
	{`{"cpu":{"quota":999}}`, nil},
	{`{"cpu":{"burst":10000,"quota":5000}}`, nil},
	{`{"cpu":{"idle":1,"shares":1024}}`, nil},
	{`{"cpu":{"idle":2}}`, nil},
	{`{"cpu":{"cpus":"4000"}}`, nil},
	{`{"cpu":{"cpus":"x"}}`, nil},
	{`{"cpu":{"mems":"7"}}`, nil},
	{`{"blockIO":{"weight":9}}`, nil},
	{`{"blockIO":{"weight":1001}}`, nil},
	{`{"hugepageLimits":[{"pageSize":"3MB","limit":0}]}`, nil},
	{`{"unified":{"memory.high":"x"}}`, nil},
	{`{"unified":{"no.such":"1"}}`, nil},
	{`{"unified":{"memory/high":"1"}}`, nil},
}

// Cgroups are compared with those that runc makes on this host.
func TestCgroupsAreRuncs(t *testing.T) {
	t.Parallel()
	r := newRunc(t)
	for i, test := range compared {
		t.Run(test.create, func(t *testing.T) {
			resources := read(t, test.create)
			if field := Unsupported(resources); field != "" {
				t.Fatalf("%s is not supported", field)
			}
			name := fmt.Sprintf("%d-%d", os.Getpid(), i)
			theirs, ours := parent+"/runc-"+name, parent+"/ours-"+name
			theirErr := r.create(t, name, theirs, resources)
			c, ourErr := createWithMember(t, ours, resources)
			if !alike(t, "create", ourErr, theirErr) || theirErr != nil {
				return
			}
			compare(t, "created", ours, theirs)
			for _, update := range test.updates {
				u := read(t, update)
				if !alike(t, "update "+update, c.Update(t.Context(), u), r.update(name, u)) {
					continue
				}
				compare(t, "after the update "+update, ours, theirs)
			}
		})
	}
}

// parent is made by whoever comes first, and left as runc leaves it.
const parent = "/container-test-runc/pod"

// createWithMember makes our cgroup with a process in it.
func createWithMember(t *testing.T, path string, r *specs.LinuxResources) (*Cgroup, error) {
	t.Helper()
	c, err := Create(path, r)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		if err := c.Remove(); err != nil {
			t.Error(err)
		}
	})
	member(t, c, "exec sleep 600") // with some memory of its own
	return c, nil
}

// alike tells whether both have accepted something, or refused.
func alike(t *testing.T, what string, ours, theirs error) bool {
	t.Helper()
	if (ours == nil) != (theirs == nil) {
		t.Errorf("%s: we say %v, runc says %v", what, ours, theirs)
		return false
	}
	if ours != nil {
		t.Logf("%s:\n  we say %v\n  runc says %v", what, ours, theirs)
	}
	return true
}

// runc makes containers whose process waits.
type runc struct {
	path, root, rootfs string
	systemd            bool
}

func newRunc(t *testing.T) *runc {
	t.Helper()
	if err := Available(); err != nil || os.Getuid() != 0 {
		t.Skipf("needs root and cgroups in their usual places: %v", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skip(err)
	}
	r := &runc{path: filepath.Join(cache, "containerd-shim-wazero", "runc-"+runcVersion, "runc"), root: t.TempDir(), rootfs: t.TempDir()}
	if _, err := os.Stat(r.path); err != nil {
		t.Skipf("make tools builds the runc to compare with: %v", err)
	}
	if err := os.WriteFile(filepath.Join(r.rootfs, "program"), nil, 0o755); err != nil { // it never runs
		t.Fatal(err)
	}
	for _, dir := range []string{"proc", "dev"} {
		if err := os.Mkdir(filepath.Join(r.rootfs, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = cgroupfs.Remove(everywhere(filepath.Dir(parent))...) })
	return r
}

func (r *runc) create(t *testing.T, id, path string, resources *specs.LinuxResources) error {
	t.Helper()
	bundle := t.TempDir()
	spec := specs.Spec{
		Version: specs.Version,
		Root:    &specs.Root{Path: r.rootfs},
		Process: &specs.Process{Args: []string{"/program"}, Cwd: "/"},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc"},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs"},
		},
		Linux: &specs.Linux{
			CgroupsPath: path, Resources: resources,
			Namespaces: []specs.LinuxNamespace{{Type: specs.PIDNamespace}, {Type: specs.MountNamespace}},
		},
	}
	data, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bundle, "config.json"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.run(nil, "create", "--bundle", bundle, id); err != nil {
		if text := err.Error(); !r.systemd && !strings.Contains(text, "cgroup") && !strings.Contains(text, "swap limit") && !strings.Contains(text, "memory+swap") {
			t.Errorf("it is not about limits: %v", err)
		}
		return err
	}
	t.Cleanup(func() {
		if err := r.run(nil, "delete", "--force", id); err != nil {
			t.Error(err)
		}
	})
	return nil
}

func (r *runc) update(id string, resources *specs.LinuxResources) error {
	data, err := json.Marshal(resources)
	if err != nil {
		return err
	}
	return r.run(data, "update", "--resources", "-", id)
}

// run keeps the output in a file, which the container's process may keep open.
func (r *runc) run(input []byte, args ...string) error {
	output, err := os.CreateTemp(r.root, "output-")
	if err != nil {
		return err
	}
	defer output.Close()
	global := []string{"--root", filepath.Join(r.root, "state"), fmt.Sprintf("--systemd-cgroup=%v", r.systemd)}
	cmd := exec.Command(r.path, append(global, args...)...)
	if input != nil {
		cmd.Stdin = bytes.NewReader(input)
	}
	cmd.Stdout, cmd.Stderr = output, output
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(output.Name())
		return fmt.Errorf("runc %s: %w: %s", args[0], err, bytes.TrimSpace(text))
	}
	return nil
}

// compare looks at every file that can be written.
func compare(t *testing.T, what, ours, theirs string) {
	t.Helper()
	want, got := settings(t, theirs), settings(t, ours)
	if len(want) < 10 {
		t.Fatalf("runc's cgroup has only %v", want)
	}
	for file, value := range want {
		if own, ok := got[file]; !ok || own != value {
			t.Errorf("%s: %s is %q, runc's is %q", what, file, own, value)
		}
		delete(got, file)
	}
	for file, value := range got {
		t.Errorf("%s: runc's has no %s, which is %q", what, file, value)
	}
}

// settings are the contents of files, by HIERARCHY/FILE, that are not figures and
// not about devices.
func settings(t *testing.T, path string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, dir := range everywhere(path) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		hierarchy := strings.TrimSuffix(dir, path)
		for _, e := range entries {
			info, err := e.Info()
			if err != nil {
				t.Fatal(err)
			}
			if m := info.Mode(); !m.IsRegular() || m&0o200 == 0 || m&0o400 == 0 || isFigure(e.Name()) {
				continue
			}
			value, err := cgroupfs.Read(dir, e.Name())
			if err != nil {
				value = err.Error()[len(filepath.Join(dir, e.Name())):]
			}
			found[filepath.Join(hierarchy, e.Name())] = value
		}
	}
	return found
}

func isFigure(file string) bool {
	return slices.Contains([]string{"cgroup.procs", "cgroup.threads", "tasks", "cpuacct.usage"}, file) ||
		strings.HasSuffix(file, ".pressure") || strings.HasSuffix(file, ".failcnt") ||
		strings.HasSuffix(file, "max_usage_in_bytes") || strings.HasSuffix(file, ".peak")
}

// everywhere are the directories of a cgroup.
func everywhere(path string) []string {
	dirs, _ := filepath.Glob(cgroupfs.Root + "/*" + path)
	if _, err := os.Stat(cgroupfs.Root + path); err == nil {
		dirs = append(dirs, cgroupfs.Root+path)
	}
	return slices.DeleteFunc(dirs, func(dir string) bool {
		info, err := os.Stat(dir)
		return err != nil || !info.IsDir() || info.Mode()&fs.ModeSymlink != 0
	})
}
