package rootfs_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/rootfs"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/wire"
)

func run(c *exec.Cmd) error { return c.Run() }

// fixture is a directory with what can be mounted.
type fixture struct {
	*testing.T
	dir string
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root to mount")
	}
	f := &fixture{t, t.TempDir()}
	// Not below an overlay, if the directory for temporary files is.
	if err := unix.Mount("tmpfs", f.dir, "tmpfs", 0, "size=64m"); err != nil {
		t.Skipf("cannot mount a tmpfs here: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(f.dir, unix.MNT_DETACH) })
	if err := os.Chmod(f.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		lower := f.lower(i)
		if err := os.MkdirAll(lower, 0o755); err != nil {
			t.Fatal(err)
		}
		f.write(lower+"/file", fmt.Sprint(i))
		f.write(fmt.Sprintf("%s/only%d", lower, i), "")
	}
	return f
}

func (f *fixture) mkdir(name string) string {
	f.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.MkdirAll(path, 0o755); err != nil {
		f.Fatal(err)
	}
	return path
}

func (f *fixture) write(path, data string) {
	f.Helper()
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) lower(i int) string {
	return fmt.Sprintf("%s/io.containerd.snapshotter.v1.overlayfs/snapshots/%d/fs", f.dir, i)
}

func (f *fixture) lowers(n int) string {
	dirs := make([]string, n)
	for i := range dirs {
		dirs[i] = f.lower(i)
	}
	return "lowerdir=" + strings.Join(dirs, ":")
}

func (f *fixture) image() string {
	f.Helper()
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		f.Skip("no loop devices here")
	}
	mkfs, err := exec.LookPath("mkfs.ext4")
	if err != nil {
		f.Skip("no mkfs.ext4 here")
	}
	image := filepath.Join(f.dir, "image")
	f.write(image, "")
	if err := os.Truncate(image, 4<<20); err != nil {
		f.Fatal(err)
	}
	if out, err := exec.Command(mkfs, "-q", "-d", f.lower(0), image).CombinedOutput(); err != nil {
		f.Fatalf("%v: %s", err, out)
	}
	return image
}

// view is what can be seen of mounts, with what differs each time left out.
func (f *fixture) view(target string) (all []string) {
	f.Helper()
	infos, err := mountinfo.GetMounts(mountinfo.PrefixFilter(target))
	if err != nil {
		f.Fatal(err)
	}
	device := regexp.MustCompile(`/dev/loop\d+`)
	mapped := regexp.MustCompile(`[^:=]*/(ovl|wazero)-idmapped\d+`)
	for _, m := range infos {
		where := strings.TrimPrefix(m.Mountpoint, target)
		source := device.ReplaceAllString(m.Source, "loop")
		all = append(all, strings.Join([]string{where, m.Root, m.FSType, source, m.Options, f.sorted(mapped.ReplaceAllString(m.VFSOptions, "MAPPED"))}, " "))
	}
	for _, name := range []string{"file", "only7"} {
		var st unix.Stat_t
		err := unix.Stat(filepath.Join(target, name), &st)
		all = append(all, fmt.Sprint(name, " ", st.Uid, st.Gid, st.Size, err))
	}
	data, err := os.ReadFile(filepath.Join(target, "file"))
	all = append(all, fmt.Sprintf("%s %v", data, errors.Unwrap(err)))
	return all
}

func (f *fixture) sorted(options string) string {
	list := strings.Split(options, ",")
	slices.Sort(list)
	return strings.Join(list, ",")
}

// mount mounts by ours or by containerd's package, and undoes it.
func (f *fixture) mount(ours bool, mounts []*wire.Mount) (view []string, err error) {
	f.Helper()
	target := f.mkdir("target")
	for _, name := range []string{"up", "work"} { // an overlay leaves marks in them
		if err := os.RemoveAll(filepath.Join(f.dir, name)); err != nil {
			f.Fatal(err)
		}
		f.mkdir(name)
	}
	if ours {
		err = rootfs.Mount(mounts, target, run)
	} else {
		var theirs []mount.Mount
		for _, m := range mounts {
			theirs = append(theirs, mount.Mount{Type: m.Type, Source: m.Source, Target: m.Target, Options: slices.Clone(m.Options)})
		}
		sweeping.Lock()
		err = mount.All(theirs, target)
		sweep()
		sweeping.Unlock()
	}
	view = f.view(target)
	for unix.Unmount(target, unix.MNT_DETACH) == nil {
	}
	return view, err
}

// sweeping keeps tests from removing what another one is about to use.
var sweeping sync.Mutex

// sweep removes what containerd's package leaves when a mount of its own is busy.
func sweep() {
	left, _ := filepath.Glob(filepath.Join(os.TempDir(), "ovl-idmapped*"))
	for _, path := range left {
		_ = unix.Unmount(path, unix.MNT_DETACH)
		_ = os.Remove(path)
	}
}

// TestMain gives this package's tests a directory for temporary files of their own.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "rootfs-test")
	if err != nil {
		panic(err)
	}
	os.Setenv("TMPDIR", dir)
	status := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		panic(err)
	}
	os.Exit(status)
}

func TestMountsAreThoseOfContainerd(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	users := []string{"uidmap=0:100000:65536", "gidmap=0:200000:1000,1000:300000:1000"}
	up := []string{"upperdir=" + f.dir + "/up", "workdir=" + f.dir + "/work"}
	link := f.mkdir("linked")
	if err := os.Symlink("/inner", link+"/link"); err != nil {
		t.Fatal(err)
	}
	f.mkdir("linked/inner")
	one := func(kind, source string, options ...string) []*wire.Mount {
		return []*wire.Mount{{Type: kind, Source: source, Options: options}}
	}
	for name, tc := range map[string]struct {
		mounts  []*wire.Mount
		visible string // a file of what is mounted
	}{
		"bind":              {one("bind", f.lower(0), "rbind", "rw"), "file"},
		"bind, read-only":   {one("bind", f.lower(0), "rbind", "ro", "nosuid"), "file"},
		"bind, users":       {one("bind", f.lower(0), append(users, "rbind")...), "file"},
		"one user mapping":  {one("bind", f.lower(0), "rbind", users[0]), "file"},
		"tmpfs":             {one("tmpfs", "none", "nodev", "noexec", "size=64k", "mode=0700", "noatime", "atime"), ""},
		"many flags":        {one("tmpfs", "none", "ro", "rw", "sync", "dirsync", "mand", "nomand", "nosuid", "suid", "nodev", "dev", "noexec", "exec", "nodiratime", "strictatime"), ""},
		"other flags":       {one("tmpfs", "none", "ro", "async", "diratime", "nosuid", "norelatime", "nostrictatime", "noatime", "mode=0755"), ""},
		"overlay":           {one("overlay", "overlay", append(up, f.lowers(9))...), "only7"},
		"overlay, index":    {one("overlay", "overlay", append(up, "index=off", f.lowers(2))...), "file"},
		"overlay, no upper": {one("overlay", "overlay", f.lowers(9)), "only7"},
		"many layers":       {one("overlay", "overlay", append(up, f.lowers(200))...), "only7"},
		"many, no upper":    {one("overlay", "overlay", f.lowers(150), "ro"), "only7"},
		"overlay, users":    {one("overlay", "overlay", append(append(users, up...), f.lowers(9))...), "only7"},
		"many, users":       {one("overlay", "overlay", append(append(up, users...), f.lowers(200))...), "only7"},
		"one layer, users":  {one("overlay", "overlay", append(append(up, users...), f.lowers(1))...), "file"},
		"two, one inside": {[]*wire.Mount{
			{Type: "bind", Source: link, Options: []string{"rbind"}},
			{Type: "bind", Source: f.lower(3), Target: "/inner", Options: []string{"rbind"}},
		}, ""},
		"two, one by a link": {[]*wire.Mount{
			{Type: "bind", Source: link, Options: []string{"rbind"}},
			{Type: "bind", Source: f.lower(3), Target: "link", Options: []string{"rbind"}},
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fixture{t, f.dir}
			want, err := f.mount(false, tc.mounts)
			if err != nil {
				t.Fatalf("containerd: %v", err)
			}
			got, err := f.mount(true, tc.mounts)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			if tc.visible != "" && !slices.ContainsFunc(got, func(l string) bool { return strings.HasPrefix(l, tc.visible+" ") && strings.HasSuffix(l, "<nil>") }) {
				t.Errorf("%s is not there:\n%s", tc.visible, strings.Join(got, "\n"))
			}
		})
	}
	assertNothingLeft(t, "wazero-idmapped")
}

// assertNothingLeft looks for temporary mounts.
func assertNothingLeft(t *testing.T, name string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(os.TempDir(), name+"*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left %q, %v", left, err)
	}
}

func TestImagesOfFileSystems(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	image := f.image()
	for name, options := range map[string][]string{
		"writable":  {"loop"},
		"read-only": {"loop", "ro"},
		"direct":    {"loop", "ro", "direct-io", "noatime"},
		"options":   {"ro", "loop", "errors=continue"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fixture{t, f.dir}
			mounts := []*wire.Mount{{Type: "ext4", Source: image, Options: options}}
			want, err := f.mount(false, mounts)
			if err != nil {
				t.Skipf("containerd cannot either: %v", err)
			}
			got, err := f.mount(true, mounts)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) { // a device lets go when it can
		held := loops(t, f.dir)
		if len(held) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("still there: %q", held)
		}
	}
}

// loops are the files below dir that loop devices have.
func loops(t *testing.T, dir string) (held []string) {
	t.Helper()
	backing, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range backing {
		if data, err := os.ReadFile(file); err == nil && strings.HasPrefix(string(data), dir) {
			held = append(held, string(data))
		}
	}
	return held
}

func TestWhatCannotBeMounted(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for name, m := range map[string]*wire.Mount{
		"unknown type":     {Type: "nosuchfs", Source: "none"},
		"for containerd":   {Type: "bind", Source: f.dir, Options: []string{"rbind", "X-containerd.mkdir.path=/x"}},
		"unknown option":   {Type: "tmpfs", Source: "none", Options: []string{"nosuchoption"}},
		"no source":        {Type: "bind", Source: f.dir + "/nosuch", Options: []string{"rbind"}},
		"too long":         {Type: "tmpfs", Source: "none", Options: []string{strings.Repeat("x", 5000)}},
		"no image":         {Type: "ext4", Source: f.dir + "/nosuch", Options: []string{"loop"}},
		"no target":        {Type: "tmpfs", Source: "none", Target: "nosuch"},
		"wrong mapping":    {Type: "bind", Source: f.lower(0), Options: []string{"rbind", "uidmap=0:1", "gidmap=0:0:1"}},
		"negative mapping": {Type: "bind", Source: f.lower(0), Options: []string{"rbind", "uidmap=0:-1:1", "gidmap=0:0:1"}},
		"users, no lowers": {Type: "overlay", Source: "overlay", Options: []string{"uidmap=0:1:1", "gidmap=0:1:1"}},
		"users, no common": {Type: "overlay", Source: "overlay", Options: []string{"lowerdir=/usr:/etc", "uidmap=0:1:1", "gidmap=0:1:1"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fixture{t, f.dir}
			_, want := f.mount(false, []*wire.Mount{m})
			view, got := f.mount(true, []*wire.Mount{m})
			if got == nil || want == nil {
				t.Fatalf("got %v, want %v", got, want)
			}
			if name == "no target" { // containerd calls mount(2) to find out
				return
			}
			for _, known := range []error{unix.ENODEV, unix.ENOENT, unix.EINVAL} {
				if errors.Is(got, known) != errors.Is(want, known) {
					t.Errorf("got %v, want %v", got, want)
				}
			}
			if strings.HasPrefix(want.Error(), "mount source") && got.Error() != want.Error() || name == "for containerd" && got.Error() != want.Error() {
				t.Errorf("got %v, want %v", got, want)
			}
			if len(view) != 3 {
				t.Errorf("left %q", view)
			}
		})
	}
	assertNothingLeft(t, "wazero-idmapped")
}

func TestTargetStaysInside(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	target, outside := f.mkdir("target"), f.mkdir("outside")
	f.mkdir("target" + outside)
	if err := os.Symlink(outside, target+"/absolute"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../outside", target+"/relative"); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"absolute", "relative", "../outside"} {
		_ = rootfs.Mount([]*wire.Mount{{Type: "tmpfs", Source: "none", Target: path}}, target, run)
	}
	infos, err := mountinfo.GetMounts(mountinfo.PrefixFilter(outside))
	if err != nil || len(infos) > 0 {
		t.Errorf("mounted outside: %v, %v", infos, err)
	}
	if infos, err = mountinfo.GetMounts(mountinfo.PrefixFilter(target + outside)); err != nil || len(infos) != 1 {
		t.Errorf("%v, %v", infos, err)
	}
}

func TestFileSystemsInUserSpaceHaveHelpers(t *testing.T) {
	t.Parallel()
	var got []string
	fail := errors.New("exit status 1")
	helper := func(c *exec.Cmd) error {
		got = c.Args
		fmt.Fprint(c.Stdout, "out of luck")
		return fail
	}
	m := &wire.Mount{Type: "fuse3.fuse-overlayfs", Source: "overlay", Options: []string{"lowerdir=/a:/b", "ro"}}
	err := rootfs.Mount([]*wire.Mount{m}, "/target", helper)
	if want := strings.Fields("mount.fuse3 overlay /target -o lowerdir=/a:/b -o ro -t fuse-overlayfs"); !slices.Equal(got, want) {
		t.Errorf("ran %q, want %q", got, want)
	}
	if !errors.Is(err, fail) || !strings.Contains(err.Error(), "out of luck") {
		t.Errorf("got %v", err)
	}
	m.Type = "fuse.sshfs"
	helper = func(c *exec.Cmd) error { got = c.Args; return nil }
	if err := rootfs.Mount([]*wire.Mount{m}, "/target", helper); err != nil || got[0] != "mount.fuse" || got[len(got)-1] != "sshfs" {
		t.Errorf("ran %q, %v", got, err)
	}
}

// TestHelpersMayLeaveTheirOutputOpen to the program that serves the file system, which may
// go on to write, and must not end of it.
func TestHelpersMayLeaveTheirOutputOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const script = "(sleep 0.5; echo and on; mkdir $1/on; for i in $(seq 200); do [ -e $1 ] || exit; sleep 0.1; done) & echo out of luck; exit 1"
	helper := func(c *exec.Cmd) error {
		c.Path, c.Args, c.Err = "/bin/sh", []string{"sh", "-c", script, "sh", dir}, nil
		return c.Run()
	}
	begin := time.Now()
	err := rootfs.Mount([]*wire.Mount{{Type: "fuse.daemon", Source: "none"}}, "/target", helper)
	if err == nil || !strings.Contains(err.Error(), "out of luck") {
		t.Errorf("got %v", err)
	}
	if took := time.Since(begin); took > 15*time.Second {
		t.Fatalf("it took %v", took)
	}
	for begin := time.Now(); os.Remove(dir+"/on") != nil; time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) > 15*time.Second {
			t.Fatal("it does not go on")
		}
	}
}

// In a user namespace a read-only bind mount must keep the flags of its source.
func TestReadOnlyInAUserNamespace(t *testing.T) {
	t.Parallel()
	if dir := os.Getenv("ROOTFS_TEST"); dir != "" {
		m := &wire.Mount{Type: "bind", Source: dir + "/locked", Options: []string{"rbind", "ro"}}
		if err := rootfs.Mount([]*wire.Mount{m}, dir+"/target", run); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/target/x", nil, 0o600); !errors.Is(err, unix.EROFS) {
			t.Errorf("writing: %v", err)
		}
		return
	}
	f := newFixture(t)
	if err := unix.Mount("tmpfs", f.mkdir("locked"), "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC|unix.MS_NOATIME, "mode=0777"); err != nil {
		t.Fatal(err)
	}
	f.mkdir("target")
	all := []syscall.SysProcIDMap{{Size: 65536}}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestReadOnlyInAUserNamespace$", "-test.v")
	cmd.Env = append(os.Environ(), "ROOTFS_TEST="+f.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS, UidMappings: all, GidMappings: all}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS") {
		t.Errorf("%v\n%s", err, out)
	}
}
