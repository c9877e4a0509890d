package room

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// dev is what every room has.
var dev = Mount{Target: "/dev", Options: []string{"mode=755", "size=64k"}}

func TestNothingOfTheHostIsLeft(t *testing.T) {
	t.Parallel()
	root := tree(t, files{"file": "its own"})
	d := inside(t, &Room{Root: root, Mounts: []Mount{dev, {Source: volume(t), Target: "/data"}, {Target: "/run", Set: unix.MOUNT_ATTR_RDONLY}}, Devices: true})
	d.gives("data dev file run", "ls", "/")
	d.gives("data dev file run", "ls", "/../../..")
	d.fails(unix.ENOENT, "stat", root)
	d.fails(unix.ENOENT, "stat", "/proc/self")
	d.gives("", "directories")
	if entries, err := filepath.Glob(root + "/*"); err != nil || len(entries) != 4 { // the places of the mounts
		t.Errorf("in the image there is %q (%v)", entries, err)
	}
}

func TestDevices(t *testing.T) {
	t.Parallel()
	root, source := tree(t, files{"script": "#!/script\n"}), volume(t)
	null := int(unix.Mkdev(1, 3))
	must(t, unix.Mknod(root+"/null", unix.S_IFCHR|0o666, null))
	must(t, unix.Mknod(source+"/null", unix.S_IFCHR|0o666, null))
	d := inside(t, &Room{Root: root, Devices: true, Mounts: []Mount{dev, {Source: source, Target: "/data"}, {Source: source, Target: "/dev/data"}, {Target: "/dev/shm"}}})
	d.gives("data fd full null random shm stderr stdin stdout urandom zero", "ls", "/dev")
	for _, name := range []string{"null", "zero", "random", "urandom"} {
		d.gives("", "write", "/dev/"+name, "x")
		d.gives("20666 0:0", "stat", "/dev/"+name)
	}
	d.fails(unix.ENOSPC, "write", "/dev/full", "x")
	for _, hostile := range []string{"/null", "/data/null", "/dev/data/null"} {
		d.fails(unix.EACCES, "open", hostile)
	}
}

func TestDevicesThatAreBoundStay(t *testing.T) {
	t.Parallel()
	source := filepath.Join(volume(t), "marker")
	d := inside(t, &Room{Root: tree(t, nil), Devices: true, Mounts: []Mount{dev, {Source: source, Target: "/dev/random"}, {Source: source, Target: "/dev/stdout"}}})
	d.gives(marker, "read", "/dev/random")
	d.gives(marker, "read", "/dev/stdout")
}

// TestDescriptorsAreLinks: they lead nowhere, and nothing can be made there by way of
// them.
func TestDescriptorsAreLinks(t *testing.T) {
	t.Parallel()
	for name, image := range map[string]files{"no /proc": nil, "an empty one": {"proc/": ""}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := inside(t, &Room{Root: tree(t, image), Devices: true, Mounts: []Mount{dev}})
			d.gives("/proc/self/fd", "link", "/dev/fd")
			for i, name := range []string{"/dev/stdin", "/dev/stdout", "/dev/stderr"} {
				d.gives(fmt.Sprintf("/proc/self/fd/%d", i), "link", name)
				d.fails(unix.ENOENT, "read", name)
				d.fails(unix.ENOENT, "write", name, "x")
			}
			d.fails(unix.ENOENT, "write", "/dev/fd/1", "x")
		})
	}
}

// st are flags of statfs(2).
const (
	stReadOnly, stNoSUID, stNoDev, stNoExec, stNoSymlinks = 0x1, 0x2, 0x4, 0x8, 0x2000
)

func (d *dweller) hasFlags(path string, want, not int64) {
	d.t.Helper()
	text, err := d.send([]string{"flags", path})
	must(d.t, err)
	flags, err := strconv.ParseInt(text, 16, 64)
	must(d.t, err)
	if flags&want != want || flags&not != 0 {
		d.t.Errorf("%s has the flags %#x, want %#x and not %#x", path, flags, want, not)
	}
}

func TestNothingIsExecutable(t *testing.T) {
	t.Parallel()
	root, source := tree(t, files{"a": "x"}), volume(t)
	for _, path := range []string{root + "/a", source + "/marker"} {
		must(t, os.Chmod(path, 0o4755))
	}
	d := inside(t, &Room{Root: root, Devices: true, Mounts: []Mount{dev, {Source: source, Target: "/data", Recursive: true}, {Target: "/tmp"}, {Source: source, Target: "/none", Clear: unix.MOUNT_ATTR_RDONLY}}})
	for _, path := range []string{"/", "/data", "/tmp", "/none"} {
		d.hasFlags(path, stNoSUID|stNoDev|stNoExec, stReadOnly)
	}
	d.hasFlags("/dev", stNoSUID|stNoExec, stReadOnly|stNoDev)
	d.fails(unix.EACCES, "exec", "/a")
	d.fails(unix.EACCES, "exec", "/data/marker")
}

func TestReadOnly(t *testing.T) {
	t.Parallel()
	const readOnly = unix.MOUNT_ATTR_RDONLY
	source := tree(t, files{"sub/": ""})
	sub := [][2]string{{"tmpfs", source + "/sub"}}
	in := func(m Mount) *dweller {
		m.Source, m.Target = source, "/data"
		d, err := enter(t, order{Room: &Room{Root: tree(t, nil), Mounts: []Mount{m}}, Before: sub})
		must(t, err)
		d.gives("", "write", "/file", "x") // the root is not meant
		return d
	}
	d := in(Mount{Recursive: true, Set: readOnly})
	d.fails(unix.EROFS, "write", "/data/file", "x")
	d.gives("", "write", "/data/sub/file", "x")
	d = in(Mount{Recursive: true, SetAll: readOnly})
	d.fails(unix.EROFS, "write", "/data/file", "x")
	d.fails(unix.EROFS, "write", "/data/sub/file", "x")
	d.hasFlags("/data/sub", stReadOnly|stNoSUID|stNoDev|stNoExec, 0)
	d = in(Mount{Recursive: true})
	d.gives("", "write", "/data/sub/file", "x")
	d.hasFlags("/data/sub", stNoSUID|stNoDev|stNoExec, stReadOnly)
	d = in(Mount{Set: readOnly | unix.MOUNT_ATTR_NOSYMFOLLOW})
	d.hasFlags("/data", stReadOnly|stNoSymlinks, 0)
	d.fails(unix.EROFS, "write", "/data/sub/file", "x") // the directory below the mount, which did not come along

	root := tree(t, files{"there/": ""})
	d = inside(t, &Room{Root: root, ReadOnly: true, Cwd: "/made", Mounts: []Mount{{Target: "/tmp"}, {Source: source, Target: "/data"}}})
	d.fails(unix.EROFS, "write", "/file", "x")
	d.fails(unix.EROFS, "mkdir", "/there/x")
	d.gives("", "write", "/tmp/file", "x")
	d.gives("", "write", "/data/file", "x")
	d.gives("/made", "cwd")
}

// TestSourcesKeepTheirAttributes: the room takes none away that nobody asked to.
func TestSourcesKeepTheirAttributes(t *testing.T) {
	t.Parallel()
	source := volume(t)
	must(t, unix.Mount(source, source, "", unix.MS_BIND, ""))
	t.Cleanup(func() { must(t, unix.Unmount(source, unix.MNT_DETACH)) })
	must(t, unix.Mount("", source, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""))
	d := inside(t, &Room{Root: tree(t, nil), Mounts: []Mount{{Source: source, Target: "/same"}, {Source: source, Target: "/rw", Clear: unix.MOUNT_ATTR_RDONLY}}})
	d.fails(unix.EROFS, "write", "/same/x", "x")
	d.gives("", "write", "/rw/x", "x")
}

func TestTmpfs(t *testing.T) {
	t.Parallel()
	root := tree(t, files{"sticky/": "", "private/": "", "link": "-> /private", "hidden/file": "the image's"})
	must(t, os.Chmod(root+"/sticky", 0o777|os.ModeSticky))
	must(t, os.Chmod(root+"/private", 0o700))
	d := inside(t, &Room{Root: root, Mounts: []Mount{
		{Target: "/sticky"}, {Target: "/link"}, {Target: "/new"}, {Target: "/hidden", Options: []string{"mode=711", "uid=5", "gid=6", "size=64k"}},
		{Target: "/closed", Set: unix.MOUNT_ATTR_RDONLY}, {Source: volume(t), Target: "/closed/data"}, {Target: "/few", Options: []string{"nr_inodes=2"}},
	}})
	d.gives("41777 0:0", "stat", "/sticky")
	d.gives("40700 0:0", "stat", "/private")
	d.gives("41777 0:0", "stat", "/new") // as the kernel makes it
	d.gives("40711 5:6", "stat", "/hidden")
	d.gives("", "ls", "/hidden")
	d.fails(unix.ENOSPC, "fill", "/hidden/x")
	d.fails(unix.EROFS, "write", "/closed/x", "x")
	d.gives(marker, "read", "/closed/data/marker")
	d.gives("", "write", "/few/1", "x")
	d.fails(unix.ENOSPC, "write", "/few/2", "x")
	_, err := enter(t, order{Room: &Room{Root: root, Mounts: []Mount{{Target: "/x", Options: []string{"size=much"}}}}})
	if err == nil || !strings.Contains(err.Error(), `mount /x: option "size=much"`) {
		t.Error(err)
	}
}

func TestMaskedAndReadOnlyPaths(t *testing.T) {
	t.Parallel()
	root := tree(t, files{
		"file": "secret", "dir/file": "secret", "link": "-> /linked", "linked": "secret", "dangling": "-> /nowhere", "out": "-> ../../etc/passwd",
		"ro/sub/file": "text", "rofile": "text", "etc/passwd": "the image's",
	})
	source := volume(t)
	d := inside(t, &Room{
		Root: root, Mounts: []Mount{{Source: source, Target: "/data"}},
		Masked:        []string{"/file", "/dir", "/link", "/dangling", "/gone", "/gone/x", "/file/x", "/out", "/data/marker"},
		ReadOnlyPaths: []string{"/ro", "/rofile", "/gone"},
	})
	for _, path := range []string{"/file", "/linked", "/etc/passwd", "/data/marker"} {
		d.gives("", "read", path)
		d.gives("", "write", path, "into nothing")
		d.gives("", "read", path)
	}
	d.gives("", "ls", "/dir")
	d.fails(unix.EROFS, "write", "/dir/new", "x")
	d.gives("text", "read", "/ro/sub/file")
	d.fails(unix.EROFS, "write", "/ro/sub/file", "x")
	d.fails(unix.EROFS, "write", "/rofile", "x")
	d.gives("", "write", "/new", "x")
	if data, err := os.ReadFile(source + "/marker"); err != nil || string(data) != marker {
		t.Errorf("the volume has %q now (%v)", data, err)
	}
}

func TestUser(t *testing.T) {
	t.Parallel()
	root := tree(t, files{"private/": "", "public/": ""})
	must(t, os.Chmod(root+"/private", 0o700))
	must(t, os.Chmod(root+"/public", 0o777))
	d := inside(t, &Room{Root: root, Cwd: "/private", User: User{UID: 1000, GID: 1001, Groups: []uint32{5, 6}, Umask: 0o027}})
	d.gives("1000:1001 [5 6] 27", "who")
	d.gives("", "write", "/public/file", "x")
	d.gives("100640 1000:1001", "stat", "/public/file")
	d.gives("", "mkdir", "/public/dir")
	d.gives("40750 1000:1001", "stat", "/public/dir")
	d.fails(unix.EACCES, "write", "/file", "x")

	d, err := enter(t, order{Room: &Room{Root: root, User: User{UID: 1000, GID: 1000, Umask: 0o022}}, Keep: []string{"CAP_DAC_OVERRIDE"}})
	must(t, err)
	d.gives("", "write", "/file", "x")
	d = inside(t, &Room{Root: root, Cwd: "/public", User: User{Umask: 0}})
	d.gives("0:0 [] 0", "who")
	d.gives("/public", "cwd")
}

func TestLimits(t *testing.T) {
	t.Parallel()
	const much = 1 << 40
	d := inside(t, &Room{Root: tree(t, nil), Limits: []Limit{
		{Resource: unix.RLIMIT_NOFILE, Name: "RLIMIT_NOFILE", Soft: 50, Hard: 60}, {Resource: unix.RLIMIT_FSIZE, Name: "RLIMIT_FSIZE", Soft: 4096, Hard: 8192},
	}})
	d.gives("50:60", "limit", fmt.Sprint(unix.RLIMIT_NOFILE))
	d.gives("4096:8192", "limit", fmt.Sprint(unix.RLIMIT_FSIZE))
	if d.warnings != "" {
		t.Errorf("warnings: %s", d.warnings)
	}
	_, err := enter(t, order{Room: &Room{Root: tree(t, nil), Limits: []Limit{{Resource: unix.RLIMIT_NOFILE, Name: "RLIMIT_NOFILE", Soft: much, Hard: 1}}}})
	if err == nil || !strings.Contains(err.Error(), "process.rlimits RLIMIT_NOFILE=") {
		t.Error(err)
	}
}

func TestNamesAndNetwork(t *testing.T) {
	t.Parallel()
	d := inside(t, &Room{Root: tree(t, nil), Hostname: "a-name", Domainname: "a-domain", Loopback: true, Sysctls: map[string]string{"net/ipv4/ip_forward": "1", "kernel/msgmax": "9000"}})
	d.gives("a-name a-domain", "names")
	if text, err := d.send([]string{"lo"}); err != nil || !strings.Contains(text, "up") {
		t.Errorf("lo is %q, %v", text, err)
	}
	_, err := enter(t, order{Room: &Room{Root: tree(t, nil), Sysctls: map[string]string{"../../etc/passwd": "x"}}})
	if err == nil || !strings.Contains(err.Error(), "linux.sysctl") {
		t.Error(err)
	}
}

func TestJoin(t *testing.T) {
	t.Parallel()
	root := tree(t, files{"private/": ""})
	must(t, os.Chmod(root+"/private", 0o700))
	first := inside(t, &Room{Root: root, Devices: true, Mounts: []Mount{dev, {Target: "/tmp"}, {Source: volume(t), Target: "/data", Set: unix.MOUNT_ATTR_RDONLY}}})
	first.gives("", "write", "/tmp/file", "from the first")
	f, err := os.OpenFile(fmt.Sprintf("/proc/%d/root", first.cmd.Process.Pid), unix.O_PATH|unix.O_DIRECTORY, 0)
	must(t, err)
	defer f.Close()
	second, err := enter(t, order{Room: &Room{Join: true, Cwd: "/private", User: User{UID: 7, GID: 8, Umask: 0o077}}, root: f})
	must(t, err)
	second.gives("from the first", "read", "/tmp/file")
	second.gives(marker, "read", "/data/marker")
	second.fails(unix.EROFS, "write", "/data/x", "x")
	second.gives("7:8 [] 77", "who")
	second.gives("data dev private tmp", "ls", "/../..")
	second.gives("", "write", "/tmp/second", "from the second")
	second.gives("", "directories")
	first.gives("from the second", "read", "/tmp/second")
	first.gives("100600 7:8", "stat", "/tmp/second")
}

func TestHooks(t *testing.T) {
	t.Parallel()
	r := &Room{Root: tree(t, nil), Cwd: "/made", Hooks: true, ReadOnly: true}
	inside(t, r).fails(unix.EROFS, "write", "/x", "x")
	if _, err := enter(t, order{Room: r, Refuse: true}); err == nil || err.Error() != "refused" {
		t.Error(err)
	}
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	t.Parallel()
	for want, r := range map[string]*Room{
		`root.path "/not/there": no such file`:               {Root: "/not/there"},
		`mount /data: source "/not/there": no such file`:     {Root: tree(t, nil), Mounts: []Mount{{Source: "/not/there", Target: "/data"}}},
		`process.cwd "/file/x": open "/file/x": not a direc`: {Root: tree(t, files{"file": ""}), Cwd: "/file/x"},
	} {
		if _, err := enter(t, order{Room: r}); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
