package shim

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	tasktypes "github.com/containerd/containerd/api/types/task"
)

// TestKillBeforeStart: a container that is killed before its start has ended
// like any other (containerd#9103).
func TestKillBeforeStart(t *testing.T) {
	eachGuest(t, func(t *testing.T, d *daemon, k kind) {
		c := d.container("c", k.multi, "sleep").created()
		c.requireStatus("", tasktypes.Status_CREATED)
		must(t, c.kill("", syscall.SIGKILL))
		if status := c.exitStatus(""); status != 137 {
			t.Errorf("exit status is %d, want 137", status)
		}
		c.requireStatus("", tasktypes.Status_STOPPED)
		requireKind(t, "Start", c.start(""), fp)
		d.events.await(t, "c", "create", "exit 137")
		r, err := c.delete("")
		must(t, err)
		if r.ExitStatus != 137 || r.Pid == 0 || r.ExitedAt == nil {
			t.Errorf("Delete answered %v", r)
		}
		d.events.await(t, "c", "create", "exit 137", "delete 137")
	})
}

// TestDeleteBeforeStart removes everything, the process first.
func TestDeleteBeforeStart(t *testing.T) {
	eachGuest(t, func(t *testing.T, d *daemon, k kind) {
		c := d.container("c", k.multi, "sleep").connect()
		r, err := c.create()
		must(t, err)
		_, err = c.delete("")
		must(t, err)
		if exists(r.Pid) == nil {
			t.Error("the process lives on")
		}
		if left := d.mounts(); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
		d.events.await(t, "c", "create", "exit 137", "delete 137")
	})
}

// TestFailedCreateLeavesNothing: no event, process, mount, cgroup or shim.
func TestFailedCreateLeavesNothing(t *testing.T) {
	eachVersion(t, func(t *testing.T, d *daemon) {
		for name, tc := range map[string]struct {
			edit  func(*container)
			error string
		}{
			"missing": {func(c *container) { c.spec.Process.Args[0] = "/missing.wasm" }, "/missing.wasm"},
			"damaged": {func(c *container) {
				dir := c.privateRootfs()
				must(t, os.WriteFile(filepath.Join(dir, "bad.wasm"), []byte("\x00asm\x01\x00\x00\x00\x01\x7f"), 0o755))
				c.spec.Process.Args[0] = "/bad.wasm"
			}, `module "/bad.wasm" is damaged`},
			"text":   {func(c *container) { c.spec.Process.Args[0] = textFile }, textFile},
			"scheme": {func(c *container) { c.stdout = "ftp:///out" }, "unknown STDIO scheme"},
			"fifo":   {func(c *container) { c.stdout = filepath.Join(c.bundle, "no") }, "no such file or directory"},
			"rootfs": {func(c *container) { c.rootfs[0].Source = "/no/such/dir" }, "no such file or directory"},
			"runc":   {func(c *container) { c.spec.Linux.Namespaces[0].Path = "/no/such/ns" }, "/no/such/ns"},
			"logger": {func(c *container) { c.stdout = "binary:///no/such/logger" }, "/no/such/logger"},
			"stdin":  {func(c *container) { c.stdin = filepath.Join(c.bundle, "no") }, "no such file or directory"},
		} {
			c := d.container("failed-"+name, multiWasm, "sleep")
			tc.edit(c)
			c.connect()
			_, err := c.create()
			if err == nil || !strings.Contains(err.Error(), tc.error) {
				t.Errorf("%s: %v, want %q", name, err, tc.error)
			}
			requireKind(t, name+": State", second(c.state("")), nf)
			requireKind(t, name+": Delete", second(c.delete("")), nf)
			if left := append(d.mounts(), d.cgroups()...); len(left) > 0 {
				t.Errorf("%s left %q", name, left)
			}
			if got := d.events.of(c.id); len(got) > 0 {
				t.Errorf("%s: events %q", name, got)
			}
			must(t, c.shutdown())
		}
	})
}

// TestFailedStart says why, is no event, and leaves a process that has ended.
func TestFailedStart(t *testing.T) {
	eachVersion(t, func(t *testing.T, d *daemon) {
		c := d.container("c", multiWasm+"#no_such_function").connect()
		c.created()
		err := c.start("")
		if err == nil || !strings.Contains(err.Error(), "no_such_function") {
			t.Errorf("Start: %v", err)
		}
		c.requireStatus("", tasktypes.Status_STOPPED)
		requireKind(t, "second Start", c.start(""), fp)
		requireKind(t, "Kill", c.kill("", syscall.SIGKILL), nf)
		requireKind(t, "Delete", second(c.delete("")), ok)
		d.events.awaitOne(t, "c", "delete")
		for _, e := range d.events.of("c") {
			if strings.HasPrefix(e, "start") || strings.HasPrefix(e, "exit") {
				t.Errorf("events %q", d.events.of("c"))
			}
		}
	})
}

// TestFailedExec can be deleted at once, and the container goes on.
func TestFailedExec(t *testing.T) {
	eachGuest(t, func(t *testing.T, d *daemon, k kind) {
		c := d.container("c", k.multi, "sleep").run()
		must(t, c.exec("e", stdio{}, "/missing"))
		err := c.start("e")
		if err == nil || !strings.Contains(err.Error(), "/missing") {
			t.Errorf("Start: %v", err)
		}
		c.requireStatus("e", tasktypes.Status_STOPPED)
		requireKind(t, "Delete", second(c.delete("e")), ok)
		c.requireStatus("", tasktypes.Status_RUNNING)
		must(t, c.exec("f", stdio{stdout: filepath.Join(c.bundle, "no")}, k.multi, "exit"))
		requireKind(t, "Start without its FIFO", c.start("f"), other)
		requireKind(t, "Delete", second(c.delete("f")), ok)
		d.events.await(t, "c", "create", "start", "exec-added e", "exec-added f")
	})
}

// privateRootfs is a root filesystem for one container.
func (c *container) privateRootfs() string {
	c.t.Helper()
	dir := filepath.Join(c.dir, "rootfs-"+c.id)
	for _, name := range []string{"proc", "dev", "tmp"} {
		must(c.t, os.MkdirAll(filepath.Join(dir, name), 0o755))
	}
	c.rootfs[0].Source = dir
	return dir
}
