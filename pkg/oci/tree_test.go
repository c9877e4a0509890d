package oci

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestOpenResolvesAsTheContainerWould(t *testing.T) {
	t.Parallel()
	root := directory(t,
		file("app", "app", 0o644),
		file("etc/passwd", "inner passwd", 0o644),
		file("usr/bin/tool", "tool", 0o644),
		file("a/b/c", "abc", 0o644),
		link("bin", "usr/bin"),
		link("abs", "/usr/bin/tool"),
		link("escape-absolute", "/etc/passwd"),
		link("escape-relative", "../../../../../../etc/passwd"),
		link("usr/up", "../../../app"),
		link("into", "/a/b/.."),
		link("chain", "abs"),
		link("var/run", "/a"),
	)
	tree := bundleTree(t, root)
	for path, want := range map[string][2]string{
		"/app":                           {"/app", "app"},
		"app":                            {"/app", "app"},
		"//./app":                        {"/app", "app"},
		"/../../app":                     {"/app", "app"},
		"/bin/tool":                      {"/usr/bin/tool", "tool"},
		"/bin/../../app":                 {"/app", "app"},
		"/bin/../bin/tool":               {"/usr/bin/tool", "tool"},
		"/abs":                           {"/usr/bin/tool", "tool"},
		"/chain":                         {"/usr/bin/tool", "tool"},
		"/escape-absolute":               {"/etc/passwd", "inner passwd"},
		"/escape-relative":               {"/etc/passwd", "inner passwd"},
		"/usr/up":                        {"/app", "app"},
		"/into/b/c":                      {"/a/b/c", "abc"},
		"/var/run/b/c":                   {"/a/b/c", "abc"},
		"/a/b/../../../../../etc/passwd": {"/etc/passwd", "inner passwd"},
	} {
		resolved, content, err := read(t, tree, path)
		if err != nil || resolved != want[0] || content != want[1] {
			t.Errorf("%s: %q %q %v, want %q", path, resolved, content, err, want)
		}
	}
}

func TestOpenFailsAsTheKernelWould(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("d/", maxDepth+1)
	root := directory(t,
		file("app", "", 0o644),
		dir("dir", 0o755),
		link("loop", "loop"),
		link("ping", "pong"), link("pong", "ping"),
		link("dangling", "/nowhere"),
		link("to-file", "app/"),
		file(deep+"x", "", 0o644),
	)
	tree := bundleTree(t, root)
	for path, want := range map[string]error{
		"/nothing":                       unix.ENOENT,
		"/nothing/..":                    unix.ENOENT,
		"/dangling":                      unix.ENOENT,
		"/app/x":                         unix.ENOTDIR,
		"/app/":                          unix.ENOTDIR,
		"/app/..":                        unix.ENOTDIR,
		"/app/.":                         unix.ENOTDIR,
		"/to-file":                       unix.ENOTDIR,
		"/dir":                           unix.EISDIR,
		"/":                              unix.EISDIR,
		"":                               unix.EISDIR,
		"..":                             unix.EISDIR,
		"/loop":                          unix.ELOOP,
		"/ping":                          unix.ELOOP,
		"/" + strings.Repeat("a", 256):   unix.ENAMETOOLONG,
		"/" + strings.Repeat("a/", 2048): unix.ENAMETOOLONG,
		"/" + deep + "x":                 unix.ENAMETOOLONG,
		"/a\x00b":                        unix.EINVAL,
	} {
		if _, _, err := read(t, tree, path); !errors.Is(err, want) {
			t.Errorf("%.40q: %v, want %v", path, err, want)
		}
	}
}

func TestOpenFollowsAtMostFortyLinks(t *testing.T) {
	t.Parallel()
	root := directory(t, file("l0", "end", 0o644))
	for i := range 41 {
		link("l"+strconv.Itoa(i+1), "l"+strconv.Itoa(i))(t, root)
	}
	tree := bundleTree(t, root)
	if _, _, err := read(t, tree, "/l40"); err != nil {
		t.Errorf("40 links: %v", err)
	}
	if _, _, err := read(t, tree, "/l41"); !errors.Is(err, unix.ELOOP) {
		t.Errorf("41 links: %v, want ELOOP", err)
	}
}

func TestOpenNeverBlocksOnSpecialFiles(t *testing.T) {
	t.Parallel()
	root := directory(t, fifo("fifo"), link("device", "dev/zero"))
	tree := bundleTree(t, root, bind("/dev", "/dev"))
	done := make(chan error, 2)
	go func() {
		for _, path := range []string{"/fifo", "/device"} {
			_, _, err := tree.Open(path, owner())
			done <- err
		}
	}()
	for range 2 {
		select {
		case err := <-done:
			if !errors.Is(err, errNotRegular) {
				t.Errorf("%v, want %v", err, errNotRegular)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("blocked")
		}
	}
}

func TestOpenReadsOnlyWhatTheUserMayRead(t *testing.T) {
	t.Parallel()
	root := directory(t,
		file("private", "", 0o600),
		file("public", "", 0o644),
		file("execute-only", "", 0o711),
		file("group", "", 0o640),
		file("not-even-mine", "", 0o044),
		dir("closed", 0o700), file("closed/public", "", 0o644),
		dir("list-only", 0o744), file("list-only/public", "", 0o644),
		dir("search-only", 0o711), file("search-only/public", "", 0o644),
		link("around", "closed/../public"),
	)
	tree := bundleTree(t, root)
	member := stranger()
	member.Groups = []uint32{uint32(os.Getgid())}
	bypass := stranger()
	bypass.BypassModes = true
	elsewhere := bypass
	elsewhere.uids = idMap{{ContainerID: 0, HostID: 700000, Size: 10}}
	unknown := stranger()
	unknown.Unknown = true
	for _, c := range []struct {
		path string
		who  User
		ok   bool
	}{
		{"/private", owner(), true},
		{"/private", stranger(), false},
		{"/private", bypass, true},
		{"/private", elsewhere, false},
		{"/private", unknown, true},
		{"/public", stranger(), true},
		{"/execute-only", stranger(), false},
		{"/group", stranger(), false},
		{"/group", member, true},
		{"/not-even-mine", owner(), false},
		{"/not-even-mine", stranger(), true},
		{"/closed/public", stranger(), false},
		{"/closed/public", owner(), true},
		{"/closed/nothing", stranger(), false},
		{"/list-only/public", stranger(), false},
		{"/search-only/public", stranger(), true},
		{"/around", stranger(), false},
	} {
		f, _, err := tree.Open(c.path, c.who)
		switch {
		case err == nil:
			f.Close()
			if !c.ok {
				t.Errorf("%s is open to user %d", c.path, c.who.UID)
			}
		case c.ok:
			t.Errorf("%s: %v", c.path, err)
		case !errors.Is(err, unix.EACCES):
			t.Errorf("%s: %v, want permission denied", c.path, err)
		}
	}
}

func TestMountsCoverTheRootFileSystem(t *testing.T) {
	t.Parallel()
	volume := directory(t, file("data", "volume", 0o644), file("sub/data", "volume sub", 0o644), link("abs", "/app"))
	other := directory(t, file("data", "other", 0o644))
	root := directory(t,
		file("app", "app", 0o644),
		file("vol/data", "covered", 0o644),
		file("etc/hosts", "covered", 0o644),
		file("run/x", "run", 0o644),
		link("var/run", "/run"),
		link("lib/links", "../vol"),
	)
	tests := []struct {
		name   string
		mounts []specs.Mount
		path   string
		want   string // content, or the error
	}{
		{"bind", []specs.Mount{bind(volume, "/vol")}, "/vol/data", "volume"},
		{"through a link", []specs.Mount{bind(volume, "/vol")}, "/lib/links/data", "volume"},
		{"parent of a mount", []specs.Mount{bind(volume, "/vol")}, "/vol/../app", "app"},
		{"absolute link inside a mount", []specs.Mount{bind(volume, "/vol")}, "/vol/abs", "app"},
		{"destination is resolved", []specs.Mount{bind(volume, "/var/run")}, "/run/data", "volume"},
		{"destination is not escaped", []specs.Mount{bind(volume, "/../../vol")}, "/vol/data", "volume"},
		{"relative destination", []specs.Mount{bind(volume, "vol")}, "/vol/data", "volume"},
		{"missing destination", []specs.Mount{bind(volume, "/new/place")}, "/new/place/data", "volume"},
		{"beside a missing destination", []specs.Mount{bind(volume, "/new/place")}, "/new/data", "no such file or directory"},
		{"the made directory", []specs.Mount{bind(volume, "/new/place")}, "/new", "is a directory"},
		{"file", []specs.Mount{bind(volume+"/data", "/etc/hosts")}, "/etc/hosts", "volume"},
		{"file that the image lacks", []specs.Mount{bind(volume+"/data", "/sbin/init")}, "/sbin/init", "volume"},
		{"later over earlier", []specs.Mount{bind(volume, "/vol"), bind(other, "/vol")}, "/vol/data", "other"},
		{"longest wins", []specs.Mount{bind(volume, "/vol"), bind(other, "/vol/sub")}, "/vol/sub/data", "other"},
		{"later parent hides", []specs.Mount{bind(other, "/vol/sub"), bind(volume, "/vol")}, "/vol/sub/data", "volume sub"},
		{"sibling with the same prefix", []specs.Mount{bind(other, "/vo"), bind(volume, "/vol")}, "/vol/data", "volume"},
		{"tmpfs hides", []specs.Mount{tmpfs("/vol")}, "/vol/data", errHidden.Error()},
		{"bind below tmpfs", []specs.Mount{tmpfs("/vol"), bind(other, "/vol/deep/er")}, "/vol/deep/er/data", "other"},
		{"beside a bind below tmpfs", []specs.Mount{tmpfs("/vol"), bind(other, "/vol/deep/er")}, "/vol/deep/data", errHidden.Error()},
		{"tmpfs with a copy of the image", []specs.Mount{{Destination: "/vol", Type: "tmpfs", Options: []string{"tmpcopyup"}}}, "/vol/data", "covered"},
		{"bind by option", []specs.Mount{{Destination: "/vol", Source: volume, Options: []string{"bind"}}}, "/vol/data", "volume"},
		{"bind without source", []specs.Mount{{Destination: "/vol", Type: "bind"}}, "/vol/data", errHidden.Error()},
		{"source is gone", []specs.Mount{bind(volume+"/gone", "/vol")}, "/vol/data", "no such file or directory"},
		{"destination below a file", []specs.Mount{bind(volume, "/app/x")}, "/app", "app"},
		{"over the root", []specs.Mount{bind(volume, "/")}, "/app", "app"},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, content, err := read(t, bundleTree(t, root, c.mounts...), c.path)
			if err != nil {
				if !strings.Contains(err.Error(), c.want) {
					t.Fatalf("%v, want %s", err, c.want)
				}
				return
			}
			if content != c.want {
				t.Fatalf("read %q, want %q", content, c.want)
			}
		})
	}
}

func TestErrorOfMissingMountSourceNamesIt(t *testing.T) {
	t.Parallel()
	tree := bundleTree(t, directory(t), bind("/no/such/volume", "/vol"))
	_, _, err := tree.Open("/vol/app.wasm", owner())
	if err == nil || !strings.Contains(err.Error(), `source "/no/such/volume" of the mount at "/vol"`) {
		t.Fatal(err)
	}
}

func TestIDMappedMountIsLeftToTheKernel(t *testing.T) {
	t.Parallel()
	m := bind(directory(t, file("x", "", 0o600)), "/vol")
	m.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 1, Size: 1}}
	f, _, err := bundleTree(t, directory(t), m).Open("/vol/x", stranger())
	check(t, err)
	f.Close()
}

func TestLiveTreeIsThatOfTheProcess(t *testing.T) {
	t.Parallel()
	host := directory(t, file("x", "content", 0o644))
	tree, err := LiveTree(os.Getpid())
	check(t, err)
	defer tree.Close()
	resolved, content, err := read(t, tree, filepath.Join(host, "x"))
	if err != nil || content != "content" || filepath.Base(resolved) != "x" {
		t.Fatal(resolved, content, err)
	}
}

func TestLiveTreeOfNobodyIsAnError(t *testing.T) {
	t.Parallel()
	if _, err := LiveTree(1 << 30); !errors.Is(err, unix.ENOENT) {
		t.Fatal(err)
	}
}

func TestBundleTreeNeedsADirectory(t *testing.T) {
	t.Parallel()
	root := directory(t, file("x", "", 0o644))
	for path, want := range map[string]string{
		root + "/x":    "root.path: \"" + root + "/x\": not a directory",
		root + "/gone": "no such file or directory",
	} {
		_, err := BundleTree(path, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestOpenFilesOutliveTheTreeAndNothingElseStaysOpen(t *testing.T) {
	root := directory(t, file("a/b/x", "content", 0o644), link("l", "a/b/../b/x"))
	before := openFiles(t)
	tree, err := BundleTree(root, []specs.Mount{bind(root, "/v"), tmpfs("/t")})
	check(t, err)
	f, _, err := tree.Open("/v/l", owner())
	check(t, err)
	for _, path := range []string{"/a/b", "/a/gone", "/t/x", "/a/b/x/"} {
		if _, _, err := tree.Open(path, owner()); err == nil {
			t.Fatalf("opened %s", path)
		}
	}
	check(t, tree.Close())
	if _, err := f.Stat(); err != nil {
		t.Error(err)
	}
	check(t, f.Close())
	if after := openFiles(t); after != before {
		t.Errorf("%d open files, %d before", after, before)
	}
}

// openFiles counts this process's file descriptors.
func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	check(t, err)
	return len(entries)
}

func TestOnlyRecursiveBindBringsMountsAlong(t *testing.T) {
	t.Parallel()
	m := bind("/", "/host")
	if _, _, err := read(t, bundleTree(t, directory(t), m), "/host/proc/version"); err != nil {
		t.Errorf("recursive: %v", err)
	}
	m.Options = []string{"bind"}
	if _, _, err := read(t, bundleTree(t, directory(t), m), "/host/proc/version"); !errors.Is(err, errHidden) {
		t.Errorf("not recursive: %v, want %v", err, errHidden)
	}
}
