package shim

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	tasktypes "github.com/containerd/containerd/api/types/task"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// orphan leaves a process without a parent in the PID namespace of pid.
func (p *pod) orphan(pid int) error {
	return exec.Command("nsenter", "--pid", "--target", fmt.Sprint(pid), "sh", "-c", "(sleep 0.05 &) ; exit 0").Run()
}

// TestThreeMembers live together, and one's end is nothing to the others.
func TestThreeMembers(t *testing.T) {
	eachVersion(t, func(t *testing.T, d *daemon) {
		p := d.pod(t)
		holder := p.up()
		members := make([]*container, 3)
		for i, guest := range []string{multiWasm, multiNative, multiWasm} {
			members[i] = p.member(fmt.Sprint("m", i), guest, "sleep")
		}
		var all sync.WaitGroup
		for _, c := range members {
			all.Go(func() {
				if _, err := c.create(); err != nil {
					t.Error(err)
				} else if err := c.start(""); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		for _, c := range members {
			for name, shared := range map[string]bool{"net": true, "ipc": true, "uts": true, "pid": false, "mnt": false} {
				if got := namespace(t, c.pid(), name) == namespace(t, holder, name); got != shared {
					t.Errorf("%s shares the %s namespace: %t", c.id, name, got)
				}
			}
			if c.shimPid() != p.shimPid() {
				t.Errorf("%s has another shim", c.id)
			}
		}
		must(t, members[0].kill("", syscall.SIGTERM))
		if status := members[0].exitStatus(""); status != 143 {
			t.Errorf("exit status is %d", status)
		}
		_, err := members[0].delete("")
		must(t, err)
		must(t, members[0].shutdown()) // as containerd does after every Delete
		for _, c := range members[1:] {
			c.requireStatus("", tasktypes.Status_RUNNING)
		}
		io, out := members[1].fifos("exec")
		members[1].execRun("e", io, multiNative, "read", "/etc/hostname")
		if status := members[1].exitStatus("e"); status != 0 || out.stdout.all(t) != "pod-name\n" {
			t.Errorf("exec: status %d, %q, %q", status, out.stdout.all(t), out.stderr.all(t))
		}
		io, out = members[2].fifos("exec")
		members[2].execRun("e", io, multiWasm, "read", "/etc/resolv.conf")
		if status := members[2].exitStatus("e"); status != 0 || out.stdout.all(t) != "search cluster.local\nnameserver 10.9.8.7\noptions ndots:5\n" {
			t.Errorf("exec: status %d, %q, %q", status, out.stdout.all(t), out.stderr.all(t))
		}
		// The last container is not the end of the pod.
		for _, c := range members[1:] {
			must(t, c.kill("", syscall.SIGKILL))
			c.exitStatus("")
			_, err := c.delete("")
			must(t, err)
			must(t, c.shutdown())
		}
		time.Sleep(nobodyComes)
		must(t, p.ping())
		p.member("again", multiWasm, "exit", "7").run()
	})
}

// nobodyComes is longer than a shim without containers stays (pkg/shim/idle.go).
const nobodyComes = 4 * time.Second

// TestStopEndsTheMembers that containerd has not ended, also while status is asked.
func TestStopEndsTheMembers(t *testing.T) {
	t.Parallel()
	d := newDaemon(t, v3)
	p := d.pod(t)
	p.up()
	var members []*container
	for i, guest := range []string{multiWasm, multiNative} {
		members = append(members, p.member(fmt.Sprint("m", i), guest, "sleep").run())
	}
	stop := make(chan struct{})
	var asked sync.WaitGroup
	asked.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			begin := time.Now()
			p.status(t)
			if took := time.Since(begin); took > testenv.Slow(5*time.Second) {
				t.Errorf("status takes %s while stopping", took)
			}
		}
	})
	must(t, p.stopPod())
	close(stop)
	asked.Wait()
	for _, c := range members {
		c.requireStatus("", tasktypes.Status_STOPPED)
	}
	_, err := p.shutdownPod() // with containers that nobody has deleted
	must(t, err)
}

// TestMembersShare /dev/shm, SysV IPC and the host name.
func TestMembersShare(t *testing.T) {
	t.Parallel()
	d := newDaemon(t, v3)
	p := d.pod(t)
	holder := p.up()
	wasm := p.member("wasm", multiWasm, "sleep").run()
	native := p.member("native", multiNative, "sleep").run()
	wasm.execRun("w", stdio{}, multiWasm, "write", "/dev/shm/x", "from Wasm")
	if status := wasm.exitStatus("w"); status != 0 {
		t.Errorf("exit status of the writer is %d", status)
	}
	io, out := native.fifos("r")
	native.execRun("r", io, multiNative, "read", "/dev/shm/x")
	native.exitStatus("r")
	if got := out.stdout.all(t); got != "from Wasm\n" {
		t.Errorf("the other reads %q, %q", got, out.stderr.all(t))
	}
	name := func(pid int) string {
		out, err := exec.Command("nsenter", "--uts", "--target", fmt.Sprint(pid), "hostname").Output()
		must(t, err)
		return strings.TrimSpace(string(out))
	}
	if name(holder) != "pod-name" || name(native.pid()) != "pod-name" {
		t.Errorf("host names are %q and %q", name(holder), name(native.pid()))
	}
}

// TestMembersWithSharedPIDs see each other; Kill and Pids are for one alone.
func TestMembersWithSharedPIDs(t *testing.T) {
	for _, guest := range []string{multiWasm, multiNative} {
		t.Run(strings.Trim(guest, "/"), func(t *testing.T) {
			t.Parallel()
			d := newDaemon(t, v3)
			p := d.pod(t)
			p.pidMode = modePod
			holder := p.up()
			a := p.member("a", guest, "sleep").run()
			b := p.member("b", guest, "sleep").run()
			for _, c := range []*container{a, b} {
				if namespace(t, c.pid(), "pid") != namespace(t, holder, "pid") {
					t.Errorf("%s has a PID namespace of its own", c.id)
				}
				pids, err := c.pids()
				must(t, err)
				if len(pids) != 1 || int(pids[0].Pid) != c.pid() {
					t.Errorf("processes of %s are %v, want %d", c.id, pids, c.pid())
				}
			}
			a.execRun("e", stdio{}, guest, "sleep")
			must(t, a.killAll(syscall.SIGKILL))
			a.exitStatus("e")
			if status := a.exitStatus(""); status != 137 {
				t.Errorf("exit status is %d", status)
			}
			b.requireStatus("", tasktypes.Status_RUNNING)
			if p.status(t).State != "SANDBOX_READY" {
				t.Error("the pod has ended")
			}
		})
	}
}

// TestPodOnTheNodesNetwork has neither a network nor a name of its own.
func TestPodOnTheNodesNetwork(t *testing.T) {
	t.Parallel()
	d := newDaemon(t, v3)
	p := d.pod(t)
	p.network, p.netns, p.hostname = modeNode, "", ""
	holder := p.up()
	for name, own := range map[string]bool{"net": false, "uts": false, "ipc": true} {
		if got := namespace(t, holder, name) != namespace(t, p.shimPid(), name); got != own {
			t.Errorf("a %s namespace of its own: %t", name, got)
		}
	}
	c := p.member("a", multiNative, "sleep").run()
	if namespace(t, c.pid(), "net") != namespace(t, p.shimPid(), "net") {
		t.Error("the container has a network of its own")
	}
	host, err := os.Hostname()
	must(t, err)
	io, out := c.fifos("e")
	c.execRun("e", io, multiNative, "read", "/etc/hostname")
	c.exitStatus("e")
	if out.stdout.all(t) != host+"\n" {
		t.Errorf("host name is %q", out.stdout.all(t))
	}
}

// TestPodWithTheNodesIPC has neither an IPC namespace nor a /dev/shm of its own.
func TestPodWithTheNodesIPC(t *testing.T) {
	t.Parallel()
	d := newDaemon(t, v3)
	p := d.pod(t)
	p.ipc = modeNode
	if holder := p.up(); namespace(t, holder, "ipc") != namespace(t, os.Getpid(), "ipc") {
		t.Error("an IPC namespace of its own")
	}
	for _, m := range d.mounts() {
		if strings.Contains(m, "/shm ") {
			t.Errorf("mounted: %s", m)
		}
	}
}

// TestNetworkIsHeld until the pod is stopped, and is that of every member.
func TestNetworkIsHeld(t *testing.T) {
	t.Parallel()
	d := newDaemon(t, v3)
	server := filepath.Join(d.rootfs, "server")
	serverOnce.Do(func() {
		var guests testenv.Guests
		must(t, os.WriteFile(server, guests.Build(t, "server", testenv.Native), 0o755))
	})
	p := d.pod(t)
	holder := p.up()
	c := p.member("server", "/server")
	out := c.withOutput()
	c.run()
	out.stdout.WaitFor(t, "listening")
	line, err := p.dialServer()
	if err != nil || line != "hello from the server\n" {
		t.Errorf("the server says %q (%v)", line, err)
	}
	if line, err := (&pod{netns: "/proc/self/ns/net"}).dialServer(); err == nil {
		t.Errorf("the node reaches the pod's loopback: %q", line)
	}
	must(t, c.kill("", syscall.SIGKILL))
	c.exitStatus("")
	// Nobody but the holder is in it now, and the file is gone.
	var before unix.Stat_t
	must(t, unix.Stat(p.netns, &before))
	must(t, unix.Unmount(p.netns, 0))
	var held unix.Stat_t
	must(t, unix.Stat(fmt.Sprintf("/proc/%d/ns/net", holder), &held))
	if held.Ino != before.Ino {
		t.Errorf("the holder is in network %d, not %d", held.Ino, before.Ino)
	}
	must(t, p.stopPod())
	if users := networkUsers(t, before.Ino); len(users) > 0 {
		t.Errorf("after stop the network is held by %q", users)
	}
}

var serverOnce sync.Once

// networkUsers are threads in a network namespace.
func networkUsers(t testing.TB, ino uint64) []string {
	t.Helper()
	tasks, err := filepath.Glob("/proc/[0-9]*/task/[0-9]*/ns/net")
	must(t, err)
	var users []string
	for _, path := range tasks {
		var st unix.Stat_t
		if unix.Stat(path, &st) == nil && st.Ino == ino {
			comm, _ := os.ReadFile(filepath.Join(filepath.Dir(filepath.Dir(path)), "comm"))
			users = append(users, path+" "+strings.TrimSpace(string(comm)))
		}
	}
	return users
}

// TestVolumeOfMembers is seen live.
func TestVolumeOfMembers(t *testing.T) {
	t.Parallel()
	d := newDaemon(t, v3)
	p := d.pod(t)
	p.up()
	volume := filepath.Join(d.dir, "volume")
	must(t, os.Mkdir(volume, 0o777))
	mount := specs.Mount{Destination: "/tmp/v", Type: "bind", Source: volume, Options: []string{"rbind", "rw"}}
	a, b := p.member("a", multiWasm, "answer", "/tmp/v"), p.member("b", multiNative, "sleep")
	for _, c := range []*container{a, b} {
		c.spec.Mounts = append(c.spec.Mounts, mount)
		c.writeSpec()
		c.run()
	}
	b.execRun("ask", stdio{}, multiNative, "write", "/tmp/v/question", "42")
	if status := b.exitStatus("ask"); status != 0 {
		t.Fatalf("exit status is %d", status)
	}
	for deadline := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		if data, err := os.ReadFile(filepath.Join(volume, "answer")); err == nil && strings.Contains(string(data), "answer to 42") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no answer")
		}
	}
}

// TestMemberOutOfMemory leaves its siblings.
func TestMemberOutOfMemory(t *testing.T) {
	for _, guest := range []string{multiWasm, multiNative} {
		t.Run(strings.Trim(guest, "/"), func(t *testing.T) {
			t.Parallel()
			d := newDaemon(t, v3)
			p := d.pod(t)
			p.pidMode = modePod
			p.up()
			sibling := p.member("sibling", guest, "sleep").run()
			c := p.member("c", guest, "alloc", "256")
			limit := int64(64 << 20)
			c.spec.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &limit, Swap: &limit}
			c.writeSpec()
			c.run()
			if status := c.exitStatus(""); status != 137 {
				t.Errorf("exit status is %d", status)
			}
			d.events.await(t, "c", "create", "start", "oom", "exit 137")
			sibling.requireStatus("", tasktypes.Status_RUNNING)
			if p.status(t).State != "SANDBOX_READY" {
				t.Error("the pod has ended")
			}
		})
	}
}

// hostUsers is where the users of a pod's user namespace begin on the node.
const hostUsers = 200000

// withUsers gives the pod a user namespace, and with network one that is owned by
// it, as containerd makes them (setupNetnsWithinUserns).
func (p *pod) withUsers(network bool) {
	p.users = [3]uint64{hostUsers, 0, 65536}
	must(p.t, unix.Unmount(p.netns, 0))
	if !network {
		p.network, p.netns = modeNode, ""
		return
	}
	keeper := exec.Command("sleep", "60")
	mapping := []syscall.SysProcIDMap{{HostID: hostUsers, Size: 65536}}
	keeper.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNET, UidMappings: mapping, GidMappings: mapping,
	}
	must(p.t, keeper.Start())
	defer func() { _ = keeper.Process.Kill(); _ = keeper.Wait() }()
	must(p.t, unix.Mount(fmt.Sprintf("/proc/%d/ns/net", keeper.Process.Pid), p.netns, "", unix.MS_BIND, ""))
}

// TestPodWithUsersOfItsOwn is in the user namespace that its network belongs to.
func TestPodWithUsersOfItsOwn(t *testing.T) {
	for name, network := range map[string]bool{"network": true, "node's network": false} {
		for pids, mode := range map[string]uint64{"own PIDs": modeContainer, "shared PIDs": modePod} {
			t.Run(name+"/"+pids, func(t *testing.T) {
				t.Parallel()
				d := newDaemon(t, v3)
				p := d.pod(t)
				p.withUsers(network)
				p.pidMode = mode
				if network {
					p.sysctls = map[string]string{"net.ipv4.ip_forward": "1"}
				}
				holder := p.up()
				for name, own := range map[string]bool{"net": network, "ipc": true, "uts": network, "user": true, "pid": mode == modePod} {
					if got := namespace(t, holder, name) != namespace(t, p.shimPid(), name); got != own {
						t.Errorf("a %s namespace of its own: %t", name, got)
					}
				}
				if network {
					owner, err := userNamespaceOf(p.netns)
					must(t, err)
					var own unix.Stat_t
					must(t, unix.Stat(fmt.Sprintf("/proc/%d/ns/user", holder), &own))
					if own.Ino != owner {
						t.Errorf("the network belongs to %d, the holder is in %d", owner, own.Ino)
					}
				}
				status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", holder))
				must(t, err)
				if user := fmt.Sprintf("Uid: %d ", hostUsers+65535); !strings.Contains(strings.Join(strings.Fields(string(status)), " "), user) {
					t.Errorf("no %q in %s", user, status)
				}
				for deadline := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) {
					parent := 0
					stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", holder))
					_, _ = fmt.Sscanf(string(stat[strings.LastIndexByte(string(stat), ')')+1:]), " %s %d", new(string), &parent)
					if parent == p.shimPid() {
						break
					}
					if time.Now().After(deadline) {
						t.Fatalf("the holder's parent is %d, not the shim %d", parent, p.shimPid())
					}
				}
				c := p.member("a", multiNative, "sleep")
				c.spec.Linux.Namespaces = append(c.spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace, Path: fmt.Sprintf("/proc/%d/ns/user", holder)})
				c.spec.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: hostUsers, Size: 65536}}
				c.spec.Linux.GIDMappings = c.spec.Linux.UIDMappings
				if network {
					// Only the owner of the network may do this.
					c.spec.Mounts = append(c.spec.Mounts, specs.Mount{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"ro"}})
				}
				c.writeSpec()
				must(t, os.Chmod(d.dir, 0o711)) // its root has to get to the bundle
				for _, name := range []string{"hostname", "hosts", "resolv.conf"} {
					// and cannot make what is mounted over: the files are the node's.
					f, err := os.OpenFile(filepath.Join(d.rootfs, "etc", name), os.O_CREATE, 0o644)
					must(t, err)
					f.Close()
				}
				c.run()
				if namespace(t, c.pid(), "user") != namespace(t, holder, "user") {
					t.Error("the container has other users")
				}
			})
		}
	}
}

// userNamespaceOf is the inode of the user namespace that owns one.
func userNamespaceOf(path string) (uint64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	fd, err := unix.IoctlRetInt(int(f.Fd()), unix.NS_GET_USERNS)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	return st.Ino, err
}
