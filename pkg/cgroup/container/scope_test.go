package container

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/cgroups/v3"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/cgroupfs"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/scope"
)

// testSlice is made by systemd for whoever comes first.
const testSlice = "containertest-pod.slice"

func requireSystemd(t *testing.T) {
	t.Helper()
	if cgroups.Mode() != cgroups.Unified || os.Getuid() != 0 {
		t.Skip("needs root and cgroup v2")
	}
	if _, err := scope.Version(t.Context()); err != nil {
		t.Skip(err)
	}
}

// scoped makes our scope around a process. The test ends with what owner does.
func scoped(t *testing.T, owner *testing.T, name string, r *specs.LinuxResources) (*Cgroup, error) {
	t.Helper()
	n, err := scope.Parse(testSlice + ":ours:" + name)
	if err != nil {
		t.Fatal(err)
	}
	c, err := PrepareScope(n, r)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("sleep", "6000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	owner.Cleanup(func() {
		for range 2 {
			if err := c.Remove(); err != nil {
				t.Error(err)
			}
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if c.scope.started {
			requireNoUnit(owner, n.Unit)
		}
	})
	return c, c.Begin(t.Context(), cmd.Process.Pid)
}

func requireNoUnit(t *testing.T, unit string) {
	t.Helper()
	out, err := exec.Command("systemctl", "list-units", "--all", "--plain", "--no-legend", unit).CombinedOutput()
	if err != nil || len(strings.TrimSpace(string(out))) > 0 {
		t.Errorf("of %s systemd has %q (%v)", unit, out, err)
	}
	for _, dir := range everywhere("/containertest.slice/" + testSlice + "/" + unit) {
		t.Errorf("%s is left", dir)
	}
}

// shown are the properties that are compared.
var shown = []string{
	"Slice", "ActiveState", "Delegate", "DelegateControllers", "DefaultDependencies", "KillMode", "OOMPolicy",
	"CPUAccounting", "MemoryAccounting", "IOAccounting", "TasksAccounting", "MemoryMax", "MemoryHigh", "MemoryLow", "MemoryMin",
	"MemorySwapMax", "CPUWeight", "CPUQuotaPerSecUSec", "CPUQuotaPeriodUSec", "TasksMax", "AllowedCPUs", "AllowedMemoryNodes", "IOWeight",
}

func propertiesOf(t *testing.T, unit string) map[string]string {
	t.Helper()
	out, err := exec.Command("systemctl", "show", "--property="+strings.Join(shown, ","), unit).Output()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for line := range strings.Lines(string(out)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		found[name] = value
	}
	if len(found) < len(shown)-2 || found["ActiveState"] != "active" {
		t.Fatalf("systemd shows %q", out)
	}
	return found
}

// TestScopesAreRuncs compares scopes with those that runc lets systemd make, and sees
// that limits are still there when systemd has read its configuration again.
func TestScopesAreRuncs(t *testing.T) {
	requireSystemd(t)
	r := newRunc(t)
	r.systemd = true
	kept := map[string]map[string]string{}
	for i, test := range compared {
		t.Run(test.create, func(inner *testing.T) {
			resources := read(inner, test.create)
			name := fmt.Sprintf("%d-%d", os.Getpid(), i)
			theirErr := r.create(inner, name, testSlice+":runc:"+name, resources)
			c, ourErr := scoped(inner, t, name, resources)
			if !alike(inner, "create", ourErr, theirErr) || theirErr != nil {
				return
			}
			theirs := filepath.Dir(c.path) + "/runc-" + name + ".scope"
			var last map[string]string
			stale := map[string]bool{}
			same := func(what string, refused bool) {
				inner.Helper()
				compare(inner, what, c.path, theirs)
				want, got := propertiesOf(inner, filepath.Base(theirs)), propertiesOf(inner, filepath.Base(c.path))
				for name, value := range got {
					switch {
					case value == want[name]:
						delete(stale, name)
					case stale[name]:
					case name == "MemorySwapMax" && value == "0": // which runc does not tell
					case refused && value == last[name]:
						stale[name] = true // runc leaves there what was refused
					default:
						inner.Errorf("%s: systemd has %s=%s, of runc's %s", what, name, value, want[name])
					}
				}
				last = got
			}
			same("created", false)
			for _, update := range test.updates {
				if strings.Contains(update, `"limit":4096`) || strings.Contains(update, `"idle":0`) {
					continue // whom the one kills, and when, is chance; the other runc does not tell systemd
				}
				u := read(inner, update)
				err := c.Update(inner.Context(), u)
				if alike(inner, "update "+update, err, r.update(name, u)) {
					same("after the update "+update, err != nil)
				}
			}
			kept[c.path] = limitsIn(inner, c.path)
		})
	}
	if len(kept) < 20 {
		t.Errorf("only %d scopes were made", len(kept))
	}
	if err := cgroupfs.Write(cgroupfs.Root+"/containertest.slice/"+testSlice, "memory.max", "900000000"); err != nil {
		t.Fatal(err)
	}
	reload(t)
	if got, err := cgroupfs.Read(cgroupfs.Root+"/containertest.slice/"+testSlice, "memory.max"); err != nil || got != "max" {
		t.Errorf("systemd has left alone what it was not told: %s (%v)", got, err)
	}
	for path, before := range kept {
		if after := limitsIn(t, path); !maps.Equal(before, after) {
			t.Errorf("%s: before systemd was reloaded\n%v\nafterwards\n%v", path, before, after)
		}
	}
}

// A cgroup that is not idle any more is not made idle again.
func TestScopeThatIsNotIdleAnyMore(t *testing.T) {
	requireSystemd(t)
	c, err := scoped(t, t, fmt.Sprintf("%d-idle", os.Getpid()), read(t, `{"cpu":{"idle":1}}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, update := range []string{`{"cpu":{"idle":0}}`, `{"pids":{"limit":100}}`} {
		if err := c.Update(t.Context(), read(t, update)); err != nil {
			t.Error(err)
		}
	}
	reload(t)
	if l := limitsIn(t, c.path); l["cpu.idle"] != "0" || l["cpu.weight"] != "100" {
		t.Errorf("it has %v", l)
	}
}

func reload(t *testing.T) {
	t.Helper()
	if out, err := exec.Command("systemctl", "daemon-reload").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// limitsIn are the settings that systemd has properties for.
func limitsIn(t *testing.T, path string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, file := range []string{"memory.max", "memory.high", "memory.low", "memory.min", "memory.swap.max", "cpu.weight", "cpu.idle", "cpu.max", "pids.max", "cpuset.cpus", "cpuset.mems"} {
		value, err := cgroupfs.Read(cgroupfs.Root+path, file)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
		if strings.HasPrefix(value, "max ") {
			value = "max" // systemd has no period for what is no limit
		}
		found[file] = value
	}
	return found
}

// A scope's name is one unit's: the second one changes nothing, and leaves nothing.
func TestScopeOfSomebodyElse(t *testing.T) {
	requireSystemd(t)
	name := fmt.Sprintf("%d-other", os.Getpid())
	first, err := scoped(t, t, name, read(t, `{"pids":{"limit":100}}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := scoped(t, t, name, read(t, `{"pids":{"limit":50}}`)); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("the second one: %v", err)
	}
	// systemd says the same where we have not looked.
	second := &Cgroup{layout: first.layout, path: first.path, scope: &unit{name: first.scope.name}}
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	if err := second.Begin(t.Context(), cmd.Process.Pid); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("the second one, by systemd: %v", err)
	}
	if err := second.Remove(); err != nil {
		t.Error(err)
	}
	if members := cgroupfs.Members(cgroupfs.Root + first.path); len(members) != 1 || slices.Contains(members, cmd.Process.Pid) {
		t.Errorf("the first one has the members %v", members)
	}
	if got := limitsIn(t, first.path)["pids.max"]; got != "100" {
		t.Errorf("pids.max is %s", got)
	}
}

// A scope that has failed is in nobody's way, and neither is one that is gone.
func TestScopeAgain(t *testing.T) {
	requireSystemd(t)
	name := fmt.Sprintf("%d-again", os.Getpid())
	for range 2 {
		c, err := scoped(t, t, name, read(t, `{"memory":{"limit":67108864,"swap":67108864}}`))
		if err != nil {
			t.Fatal(err)
		}
		if fd, ok := c.FD(); !ok {
			t.Error("nothing can be cloned into it")
		} else {
			fd.Close()
		}
		if err := c.Kill(); err != nil {
			t.Error(err)
		}
		again, err := Open(c.path, c.scope.name.Unit) // as the delete helper does
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Remove(); err != nil {
			t.Error(err)
		}
		requireNoUnit(t, c.scope.name.Unit)
	}
}

// Processes without a cgroup of their own stay where they are when there is no unit.
func TestScopeThatCannotBe(t *testing.T) {
	requireSystemd(t)
	before, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	n := scope.Name{Slice: "not a slice", Unit: "a-b.scope"}
	err = scope.Start(t.Context(), scope.Scope{Name: n}, os.Getpid())
	if err == nil || !strings.Contains(err.Error(), n.Unit) {
		t.Errorf("it is made: %v", err)
	}
	if after, err := os.ReadFile("/proc/self/cgroup"); err != nil || string(after) != string(before) {
		t.Errorf("the process is in %s", after)
	}
	if err := scope.Stop(t.Context(), "no-such-unit.scope"); err != nil {
		t.Error(err)
	}
	if err := scope.Set(t.Context(), "no-such-unit.scope", []scope.Property{scope.NewProperty("TasksMax", uint64(1))}); err == nil {
		t.Error("it has limits")
	}
}

// systemd that starts anew closes the connection that is kept.
func TestScopeWhenSystemdStartsAnew(t *testing.T) {
	requireSystemd(t)
	c, err := scoped(t, t, fmt.Sprintf("%d-anew", os.Getpid()), read(t, `{"pids":{"limit":100}}`))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("systemctl", "daemon-reexec").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := c.Update(t.Context(), read(t, `{"pids":{"limit":200}}`)); err != nil {
		t.Error(err)
	}
	if got := limitsIn(t, c.path)["pids.max"]; got != "200" {
		t.Errorf("pids.max is %s", got)
	}
}
