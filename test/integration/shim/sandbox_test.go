package shim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	api "github.com/containerd/containerd/api/runtime/sandbox/v1"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/errdefs/pkg/errgrpc"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/anypb"
)

// CRI's namespace modes.
const (
	modePod       = 0
	modeContainer = 1
	modeNode      = 2
)

// pod is a sandbox without a pause container, as containerd's sandboxer "shim"
// makes it. The fields may be changed before create.
type pod struct {
	*container   // the bundle, which has no config.json
	socket       string
	netns        string
	network, ipc uint64
	pidMode      uint64
	hostname     string
	sysctls      map[string]string
	parent       string // cgroup
	users        [3]uint64
	api          api.TTRPCSandboxService
}

// pod starts a shim for one. It is removed when the test ends, after its members.
func (d *daemon) pod(t testing.TB) *pod {
	t.Helper()
	p := &pod{container: d.containerFor(t, "pod"), hostname: "pod-name", pidMode: modeContainer, parent: "/" + d.ns + "/pod-parent"}
	p.netns = newNetwork(t, filepath.Join(d.dir, "netns"))
	var err error
	p.socket, err = d.start(p.container)
	must(t, err)
	must(t, p.dial(p.socket))
	p.api = api.NewTTRPCSandboxClient(p.client)
	t.Cleanup(func() {
		_, _ = p.shutdownPod()
		for _, dir := range cgroupDirs(p.parent) {
			if err := os.Remove(dir); err != nil && !os.IsNotExist(err) {
				t.Error(err)
			}
		}
	})
	return p
}

func cgroupDirs(path string) []string {
	dirs, _ := filepath.Glob("/sys/fs/cgroup/*" + path)
	if _, err := os.Stat("/sys/fs/cgroup" + path); err == nil {
		dirs = append(dirs, "/sys/fs/cgroup"+path)
	}
	return dirs
}

// newNetwork makes a network namespace with its loopback up, bound to a file as
// containerd does.
func newNetwork(t testing.TB, file string) string {
	t.Helper()
	must(t, os.WriteFile(file, nil, 0o600))
	must(t, elsewhere(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		if err := loopbackUp(); err != nil {
			return err
		}
		return unix.Mount("/proc/thread-self/ns/net", file, "", unix.MS_BIND, "")
	}))
	t.Cleanup(func() { _ = unix.Unmount(file, unix.MNT_DETACH) })
	return file
}

// elsewhere calls do on a thread that may change its network namespace. It comes
// back: the thread may be the first one, which never ends.
func elsewhere(do func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for ever
		home, err := os.Open("/proc/thread-self/ns/net")
		if err == nil {
			defer home.Close()
			err = errors.Join(do(), unix.Setns(int(home.Fd()), unix.CLONE_NEWNET))
		}
		done <- err
	}()
	return <-done
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}

// inNetwork calls do on a thread in the pod's network namespace.
func (p *pod) inNetwork(do func() error) error {
	return elsewhere(func() error {
		ns, err := os.Open(p.netns)
		if err != nil {
			return err
		}
		defer ns.Close()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return err
		}
		return do()
	})
}

// message encodes fields: numbers and strings, in the order given.
func message(fields ...any) string {
	var b []byte
	for i := 0; i < len(fields); i += 2 {
		num := protowire.Number(fields[i].(int))
		switch v := fields[i+1].(type) {
		case uint64:
			b = protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), v)
		case string:
			b = protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), v)
		}
	}
	return string(b)
}

// config is the pod's, as CRI encodes it.
func (p *pod) config() *anypb.Any {
	namespaces := message(1, p.network, 2, p.pidMode, 3, p.ipc)
	if p.users[2] > 0 {
		mapping := message(1, p.users[0], 2, p.users[1], 3, p.users[2])
		namespaces += message(5, message(1, uint64(modePod), 2, mapping, 3, mapping))
	}
	linux := message(1, p.parent, 2, message(1, namespaces, 6, uint64(0)))
	for name, value := range p.sysctls {
		linux += message(3, message(1, name, 2, value))
	}
	config := message(
		1, message(1, "name", 2, "uid", 3, "default", 4, uint64(3)), 2, p.hostname, 3, "/var/log/pods/x",
		4, message(1, "10.9.8.7", 2, "cluster.local", 3, "ndots:5"), 6, message(1, "label", 2, "x"), 8, linux)
	return &anypb.Any{TypeUrl: "runtime.v1.PodSandboxConfig", Value: []byte(config)}
}

func (p *pod) context() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), limit)
}

// ask makes a request to the Sandbox service.
func ask[Req, Resp any](p *pod, method func(context.Context, *Req) (*Resp, error), req *Req) (*Resp, error) {
	ctx, cancel := p.context()
	defer cancel()
	resp, err := method(ctx, req)
	return resp, errgrpc.ToNative(err)
}

func (p *pod) createPod() error {
	_, err := ask(p, p.api.CreateSandbox, &api.CreateSandboxRequest{
		SandboxID: p.id, BundlePath: p.bundle, Options: p.config(), NetnsPath: p.netns,
	})
	return err
}

func (p *pod) startPod() (*api.StartSandboxResponse, error) {
	return ask(p, p.api.StartSandbox, &api.StartSandboxRequest{SandboxID: p.id})
}

func (p *pod) stopPod() error {
	_, err := ask(p, p.api.StopSandbox, &api.StopSandboxRequest{SandboxID: p.id})
	return err
}

func (p *pod) waitPod() (*api.WaitSandboxResponse, error) {
	return ask(p, p.api.WaitSandbox, &api.WaitSandboxRequest{SandboxID: p.id})
}

func (p *pod) shutdownPod() (*api.ShutdownSandboxResponse, error) {
	return ask(p, p.api.ShutdownSandbox, &api.ShutdownSandboxRequest{SandboxID: p.id})
}

func (p *pod) ping() error {
	_, err := ask(p, p.api.PingSandbox, &api.PingRequest{SandboxID: p.id})
	return err
}

func (p *pod) status(t testing.TB) *api.SandboxStatusResponse {
	t.Helper()
	s, err := ask(p, p.api.SandboxStatus, &api.SandboxStatusRequest{SandboxID: p.id, Verbose: true})
	must(t, err)
	return s
}

// up creates and starts the pod, and returns the holder's pid.
func (p *pod) up() int {
	p.t.Helper()
	must(p.t, p.createPod())
	r, err := p.startPod()
	must(p.t, err)
	return int(r.Pid)
}

// member makes a container in the pod, with the namespaces that containerd gives
// it (WithPodNamespaces).
func (p *pod) member(id string, args ...string) *container {
	p.t.Helper()
	c := p.containerFor(p.t, id, args...).joins(p.id)
	c.spec.Linux.CgroupsPath = p.parent + "/" + id
	pid := p.status(p.t).Pid
	join := map[specs.LinuxNamespaceType]string{specs.NetworkNamespace: "net", specs.IPCNamespace: "ipc", specs.UTSNamespace: "uts"}
	if p.pidMode != modeContainer {
		join[specs.PIDNamespace] = "pid"
	}
	for i, ns := range c.spec.Linux.Namespaces {
		if name, ok := join[ns.Type]; ok {
			c.spec.Linux.Namespaces[i].Path = fmt.Sprintf("/proc/%d/ns/%s", pid, name)
		}
	}
	// What every spec of containerd's has, pod or not.
	c.spec.Mounts = append(c.spec.Mounts, specs.Mount{
		Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"},
	})
	if p.version == v3 { // containerd knows the shim already
		c.writeSpec()
		must(p.t, c.dial(p.socket))
		return c
	}
	return c.connect()
}

// namespace of a process.
func namespace(t testing.TB, pid int, name string) string {
	t.Helper()
	link, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, name))
	must(t, err)
	return link
}

func (c *container) pid() int {
	c.t.Helper()
	s, err := c.state("")
	must(c.t, err)
	return int(s.Pid)
}

// TestPodWithoutPauseContainer from its first call to its last.
func TestPodWithoutPauseContainer(t *testing.T) {
	eachVersion(t, func(t *testing.T, d *daemon) {
		p := d.pod(t)
		begin := time.Now()
		must(t, p.createPod())
		if s := p.status(t); s.State != "SANDBOX_NOTREADY" || s.Pid != 0 {
			t.Errorf("status before start: %v", s)
		}
		r, err := p.startPod()
		must(t, err)
		t.Logf("create and start take %s", time.Since(begin))
		if r.CreatedAt.AsTime().Before(begin.Add(-time.Second)) || r.CreatedAt.AsTime().After(time.Now()) {
			t.Errorf("started at %s", r.CreatedAt.AsTime())
		}
		s := p.status(t)
		if s.State != "SANDBOX_READY" || s.Pid != r.Pid || r.Pid == 0 || !s.CreatedAt.AsTime().Equal(r.CreatedAt.AsTime()) || s.ExitedAt != nil || s.SandboxID != "pod" {
			t.Errorf("status of a running pod: %v", s)
		}
		if !strings.Contains(s.Info["info"], `"processStatus":"running"`) {
			t.Errorf("info is %q", s.Info)
		}
		must(t, p.ping())
		platform, err := ask(p, p.api.Platform, &api.PlatformRequest{SandboxID: p.id})
		must(t, err)
		if platform.Platform.OS != "linux" || platform.Platform.Architecture != runtime.GOARCH {
			t.Errorf("platform is %v", platform.Platform)
		}
		metrics, err := ask(p, p.api.SandboxMetrics, &api.SandboxMetricsRequest{SandboxID: p.id})
		must(t, err)
		if !strings.HasSuffix(metrics.Metrics.Data.TypeUrl, ".Metrics") || metrics.Metrics.ID != p.id {
			t.Errorf("metrics are %v", metrics.Metrics)
		}
		_, err = ask(p, p.api.UpdateSandbox, &api.UpdateSandboxRequest{SandboxID: p.id, Sandbox: &types.Sandbox{SandboxID: p.id}, Fields: []string{"extensions"}})
		must(t, err)

		type answer struct {
			*api.WaitSandboxResponse
			err error
		}
		ended := make(chan answer, 1)
		go func() {
			r, err := p.waitPod()
			ended <- answer{r, err}
		}()
		select {
		case r := <-ended:
			t.Fatalf("wait has returned while the pod runs: %v, %v", r.WaitSandboxResponse, r.err)
		case <-time.After(100 * time.Millisecond):
		}
		must(t, p.stopPod())
		select {
		case r := <-ended:
			must(t, r.err)
			if r.ExitedAt.AsTime().Before(begin) {
				t.Errorf("wait says %v", r.WaitSandboxResponse)
			}
		case <-time.After(limit):
			t.Fatal("wait does not return")
		}
		if s := p.status(t); s.State != "SANDBOX_NOTREADY" || s.Pid != 0 || s.ExitedAt == nil {
			t.Errorf("status of a stopped pod: %v", s)
		}
		if syscall.Kill(int(r.Pid), 0) == nil {
			t.Error("the holder lives on")
		}
		must(t, p.stopPod()) // harmless
		requireKind(t, "ping of a stopped pod", p.ping(), failedPrecondition)
		shim := p.shimPid()
		_, err = p.shutdownPod()
		must(t, err)
		p.client.Close()
		for deadline := time.Now().Add(limit); syscall.Kill(shim, 0) == nil; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the shim lives on")
			}
		}
		if left := slices.Concat(d.processes(), d.cgroups()[0:0], d.sockets()); len(left) > 0 {
			t.Errorf("left after shutdown: %q", left)
		}
		for _, m := range d.mounts() {
			if !strings.Contains(m, p.netns) {
				t.Errorf("left after shutdown: %s", m)
			}
		}
		if dirs := cgroupDirs(p.parent + "/pod"); len(dirs) > 0 {
			t.Errorf("left after shutdown: %q", dirs)
		}
	})
}

// TestPodInTheWrongOrder gives errors that containerd understands.
func TestPodInTheWrongOrder(t *testing.T) {
	t.Parallel()
	p := newDaemon(t, v3).pod(t)
	_, err := p.startPod()
	requireKind(t, "start before create", err, failedPrecondition)
	requireKind(t, "ping before create", p.ping(), notFound)
	requireKind(t, "stop before create", p.stopPod(), notFound)
	must(t, p.createPod())
	requireKind(t, "second create", p.createPod(), alreadyExists)
	_, err = ask(p, p.api.CreateSandbox, &api.CreateSandboxRequest{SandboxID: "other", BundlePath: p.bundle})
	requireKind(t, "create of another", err, alreadyExists)
	_, err = p.startPod()
	must(t, err)
	_, err = p.startPod()
	requireKind(t, "second start", err, failedPrecondition)
	_, err = ask(p, p.api.StopSandbox, &api.StopSandboxRequest{SandboxID: "other"})
	requireKind(t, "stop of another", err, notFound)
	late := p.member("late", multiNative, "sleep")
	must(t, p.stopPod())
	_, err = p.startPod()
	requireKind(t, "start after stop", err, failedPrecondition)
	_, err = late.create()
	requireKind(t, "container after stop", err, failedPrecondition)
}

// TestPodThatCannotBe is an error that names the reason, and leaves nothing.
func TestPodThatCannotBe(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*pod)
		says   string
	}{
		"sysctl of the node":    {func(p *pod) { p.sysctls = map[string]string{"vm.swappiness": "1"} }, "vm.swappiness"},
		"sysctl with a way out": {func(p *pod) { p.sysctls = map[string]string{"net/../vm/swappiness": "1"} }, "is not a name"},
		"network sysctl with host's": {func(p *pod) {
			p.network, p.netns = modeNode, ""
			p.sysctls = map[string]string{"net.ipv4.ip_forward": "1"}
		}, "node's network namespace"},
		"no network namespace":   {func(p *pod) { p.netns = "" }, "no network namespace"},
		"network that is gone":   {func(p *pod) { p.netns += "-gone" }, "no such file"},
		"network that is a file": {func(p *pod) { p.netns = filepath.Join(p.dir, "c.sock.ttrpc") }, "the pod's network namespace"},
		"value of a sysctl":      {func(p *pod) { p.sysctls = map[string]string{"net.ipv4.ip_forward": "x"} }, "net/ipv4/ip_forward"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDaemon(t, v3)
			p := d.pod(t)
			tc.change(p)
			err := p.createPod()
			if err == nil {
				_, err = p.startPod()
			}
			if err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("error is %v, want one with %q", err, tc.says)
			}
			if dirs := cgroupDirs(p.parent + "/pod"); len(dirs) > 0 {
				t.Errorf("left: %q", dirs)
			}
			for _, m := range d.mounts() {
				if strings.Contains(m, "/shm ") {
					t.Errorf("left: %s", m)
				}
			}
		})
	}
}

// TestHolderDies of its own: wait tells.
func TestHolderDies(t *testing.T) {
	t.Parallel()
	p := newDaemon(t, v3).pod(t)
	pid := p.up()
	go func() {
		time.Sleep(50 * time.Millisecond)
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}()
	r, err := p.waitPod()
	must(t, err)
	if r.ExitStatus != 137 {
		t.Errorf("exit status is %d", r.ExitStatus)
	}
	if s := p.status(t); s.State != "SANDBOX_NOTREADY" {
		t.Errorf("state is %s", s.State)
	}
	must(t, p.stopPod())
}

// TestHolderDiesWithTheShim, and the delete helper removes the rest.
func TestHolderDiesWithTheShim(t *testing.T) {
	t.Parallel()
	d := newDaemon(t, v3)
	p := d.pod(t)
	pid := p.up()
	c := p.member("a", multiNative, "sleep").run()
	member := c.pid()
	must(t, syscall.Kill(p.shimPid(), syscall.SIGKILL))
	for deadline := time.Now().Add(limit); syscall.Kill(pid, 0) == nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the holder lives on")
		}
	}
	// containerd 2.3 runs it for the pod alone.
	if _, err := d.cleanUp(p.container); err != nil {
		t.Error(err)
	}
	if syscall.Kill(member, 0) == nil {
		t.Error("the container lives on")
	}
	if dirs := cgroupDirs(p.parent + "/pod"); len(dirs) > 0 {
		t.Errorf("left: %q", dirs)
	}
}

// TestHolder is small, harmless and where it has to be.
func TestHolder(t *testing.T) {
	t.Parallel()
	d := newDaemon(t, v3)
	p := d.pod(t)
	p.pidMode = modePod
	p.sysctls = map[string]string{"net.ipv4.ip_forward": "1", "kernel.shm_rmid_forced": "1"}
	pid := p.up()
	for name, own := range map[string]bool{"net": true, "ipc": true, "uts": true, "pid": true, "mnt": true, "user": false, "cgroup": false} {
		if got := namespace(t, pid, name) != namespace(t, os.Getpid(), name); got != own {
			t.Errorf("a %s namespace of its own: %t", name, got)
		}
	}
	// It names itself when it is ready.
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err == nil && string(comm) == "wazero-holder\n" {
			break
		}
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)
	lines := strings.Join(strings.Fields(string(status)), " ")
	for _, want := range []string{
		"Name: wazero-holder", "Uid: 65535 65535 65535 65535", "Gid: 65535 65535 65535 65535", "Threads: 1",
		"CapPrm: 0000000000000000", "CapEff: 0000000000000000", "CapBnd: 0000000000000000", "CapInh: 0000000000000000", "NoNewPrivs: 1", "Seccomp: 2",
	} {
		if !strings.Contains(lines, want) {
			t.Errorf("no %q in %s", want, lines)
		}
	}
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	must(t, err)
	if string(cmdline) != "wazero-holder\x00" {
		t.Errorf("command line is %q", cmdline)
	}
	rollup, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	must(t, err)
	var rss, pss int
	for line := range strings.Lines(string(rollup)) {
		_, _ = fmt.Sscanf(line, "Rss: %d kB", &rss)
		_, _ = fmt.Sscanf(line, "Pss: %d kB", &pss)
	}
	t.Logf("the holder takes RSS %d KiB, PSS %d KiB", rss, pss)
	if rss == 0 || rss > 64 {
		t.Errorf("RSS is %d KiB", rss)
	}
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	must(t, err)
	if len(fds) > 3 {
		t.Errorf("it holds %d descriptors", len(fds))
	}
	mounts, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
	must(t, err)
	if n := strings.Count(string(mounts), "\n"); n != 1 {
		t.Errorf("it has %d mounts:\n%s", n, mounts)
	}
	cgroup, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	must(t, err)
	if !strings.Contains(string(cgroup), p.parent+"/pod\n") {
		t.Errorf("its cgroups are %s", cgroup)
	}
	must(t, p.inNetwork(func() error {
		data, err := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
		if string(data) != "1\n" {
			t.Errorf("sysctl is %q", data)
		}
		low, _ := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start")
		if string(low) != "0\n" {
			t.Errorf("the first unprivileged port is %q", low)
		}
		return err
	}))
}

// TestHolderReaps the orphans of a shared PID namespace.
func TestHolderReaps(t *testing.T) {
	t.Parallel()
	d := newDaemon(t, v3)
	p := d.pod(t)
	p.pidMode = modePod
	pid := p.up()
	c := p.member("a", multiNative, "sleep").run()
	// A process of the namespace whose parent ends before it.
	init := c.pid()
	for range 10 {
		must(t, p.orphan(init))
	}
	time.Sleep(300 * time.Millisecond) // until they are orphans
	for begin := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
		must(t, err)
		if strings.TrimSpace(string(children)) == "" {
			return
		}
		if time.Since(begin) > 20*time.Second {
			t.Fatalf("the holder has children: %s", children)
		}
	}
}

// dialServer connects to the server guest from inside the pod's network.
func (p *pod) dialServer() (string, error) {
	var line string
	err := p.inNetwork(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := unix.Connect(fd, &unix.SockaddrInet4{Port: 8080, Addr: [4]byte(net.IPv4(127, 0, 0, 1).To4())}); err != nil {
			return err
		}
		buf := make([]byte, 100)
		n, err := unix.Read(fd, buf)
		line = string(buf[:max(n, 0)])
		return err
	})
	return line, err
}
