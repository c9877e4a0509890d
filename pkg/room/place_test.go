package room

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

var errOnFile = errors.New("a directory cannot be mounted on a file")

const marker = "the volume's"

// volume is a directory to mount, with a file "marker".
func volume(t testing.TB) string { return tree(t, files{"marker": marker}) }

func TestMountsStayInsideOfTheRoot(t *testing.T) {
	t.Parallel()
	// OUT is a directory of the host, beside the root.
	for _, tc := range []struct {
		name   string
		root   files
		target string
		at     string // where it is then
		err    error
	}{
		{name: "there", root: files{"data/": ""}, target: "/data", at: "/data"},
		{name: "not there", target: "/a/b/c", at: "/a/b/c"},
		{name: "dots", target: "/a/../../../../b/./c", at: "/b/c"},
		{name: "dots through what is not there", target: "/gone/../data", at: "/data"},
		{name: "absolute link", root: files{"data": "-> /etc/x"}, target: "/data", at: "/etc/x"},
		{name: "link to the host", root: files{"data": "-> OUT"}, target: "/data/new", at: "OUT/new"},
		{name: "link upwards", root: files{"a/data": "-> ../../../../../../../../../../up"}, target: "/a/data", at: "/up"},
		{name: "parent is a link", root: files{"a": "-> OUT"}, target: "/a/b/c", at: "OUT/b/c"},
		{name: "link to a link", root: files{"1": "-> /2/x", "2": "-> 3", "3": "-> OUT"}, target: "/1", at: "OUT/x"},
		{name: "link to nothing and back", root: files{"data": "-> gone/../b"}, target: "/data", at: "/b"},
		{name: "empty directory through a link", root: files{"a/b/": "", "data": "-> a/./b/"}, target: "/data", at: "/a/b"},
		{name: "link to itself", root: files{"data": "-> data"}, target: "/data", err: unix.ELOOP},
		{name: "link to itself above", root: files{"data": "-> data"}, target: "/data/x", err: unix.ELOOP},
		{name: "links that grow", root: files{"data": "-> data/x"}, target: "/data", err: unix.ELOOP},
		{name: "file in its place", root: files{"data": "x"}, target: "/data", err: errOnFile},
		{name: "file above", root: files{"data": "x"}, target: "/data/x", err: unix.ENOTDIR},
		{name: "link to a file", root: files{"data": "-> /x", "x": "x"}, target: "/data", err: errOnFile},
		{name: "long name", target: "/" + strings.Repeat("x", 300), err: unix.ENAMETOOLONG},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			out := tree(t, files{"secret": "the host's"})
			for name, text := range tc.root {
				tc.root[name] = strings.ReplaceAll(text, "OUT", out)
			}
			root, before := tree(t, tc.root), listing(t, out)
			d, err := enter(t, order{Room: &Room{Root: root, Mounts: []Mount{{Source: volume(t), Target: tc.target}}}})
			if after := listing(t, out); after != before {
				t.Errorf("outside there is now\n%s\ninstead of\n%s", after, before)
			}
			if tc.err != nil {
				if err == nil || !strings.Contains(err.Error(), tc.err.Error()) {
					t.Errorf("%v, want %v", err, tc.err)
				}
				return
			}
			must(t, err)
			d.gives(marker, "read", strings.ReplaceAll(tc.at, "OUT", out)+"/marker")
			d.fails(unix.ENOENT, "read", out+"/secret")
		})
	}
}

func TestFilesAreMountedOnFiles(t *testing.T) {
	t.Parallel()
	source := filepath.Join(volume(t), "marker")
	root := tree(t, files{"there": "x", "directory/": "", "link": "-> new/file"})
	must(t, unix.Mkfifo(filepath.Join(root, "fifo"), 0o600))
	for _, target := range []string{"/there", "/a/b/not-there", "/link", "/fifo"} {
		inside(t, &Room{Root: root, Mounts: []Mount{{Source: source, Target: target}}}).gives(marker, "read", target)
	}
	if _, err := enter(t, order{Room: &Room{Root: root, Mounts: []Mount{{Source: source, Target: "/directory"}}}}); err == nil || err.Error() != "mount /directory: a file cannot be mounted on a directory" {
		t.Error(err)
	}
}

// TestMagicLinksLeadNowhere: a root that holds a proc would have ways out.
func TestMagicLinksLeadNowhere(t *testing.T) {
	t.Parallel()
	for _, link := range []string{"/proc/self/root", "/proc/self/cwd", "/proc/self/fd/0", "/proc/1/root/tmp"} {
		root := tree(t, files{"proc/": "", "data": "-> " + link})
		_, err := enter(t, order{
			Room:   &Room{Root: root, Mounts: []Mount{{Source: volume(t), Target: "/data"}}},
			Before: [][2]string{{"proc", root + "/proc"}},
		})
		if err == nil || !strings.Contains(err.Error(), unix.ELOOP.Error()) {
			t.Errorf("through %s: %v", link, err)
		}
	}
}

// TestRacesStayInsideOfTheRoot: another container that writes to the same volume
// swaps a directory and a link to the host all the time.
func TestRacesStayInsideOfTheRoot(t *testing.T) {
	t.Parallel()
	const rounds, mounts = 5, 100
	out := tree(t, files{"secret": "the host's"})
	root := tree(t, files{"a/data/": "", "a/other": "-> " + out, "a/up": "-> ../../../../../../../../../.." + out})
	before := listing(t, out)
	stop, swapped := make(chan struct{}), 0
	var swapping sync.WaitGroup
	swapping.Go(func() {
		for ; ; swapped++ {
			select {
			case <-stop:
				return
			default:
			}
			name := []string{"other", "up"}[swapped/100%2]
			_ = unix.Renameat2(unix.AT_FDCWD, root+"/a/data", unix.AT_FDCWD, root+"/a/"+name, unix.RENAME_EXCHANGE)
		}
	})
	succeeded := 0
	for range rounds {
		r := &Room{Root: root}
		for i := range mounts {
			r.Mounts = append(r.Mounts, Mount{Source: volume(t), Target: fmt.Sprintf("/a/data/%d/x", i)})
		}
		if _, err := enter(t, order{Room: r}); err == nil {
			succeeded++
		}
	}
	close(stop)
	swapping.Wait()
	if after := listing(t, out); after != before {
		t.Errorf("outside there is now\n%s\ninstead of\n%s", after, before)
	}
	t.Logf("%d swaps, %d of %d rooms were made", swapped, succeeded, rounds)
	if swapped < 100 {
		t.Error("there was hardly a race")
	}
}

// FuzzPlace makes a root of lines ("d NAME", "f NAME", "l NAME TARGET") and looks for
// a place in it.
func FuzzPlace(f *testing.F) {
	f.Add("d a\nl a/b OUT\nl c ../../OUT\nf e", "/a/b/c", true)
	f.Add("l a b\nl b a\n", "/a", false)
	f.Add("l a /b/../../OUT/./x", "a/../a/y", true)
	f.Add("l a OUT/new\nd b\nl b/c ../a", "/b/c/../../x", false)
	f.Fuzz(func(t *testing.T, layout, name string, isDir bool) {
		top := t.TempDir()
		root, out := filepath.Join(top, "root"), filepath.Join(top, "out")
		must(t, errors.Join(os.Mkdir(root, 0o755), os.Mkdir(out, 0o755)))
		fill(t, root, layout, out)
		before := listing(t, out)
		fd, err := unix.Open(root, unix.O_PATH|unix.O_CLOEXEC, 0)
		must(t, err)
		defer unix.Close(fd)
		k := file
		if isDir {
			k = directory
		}
		b := &builder{room: &Room{}, root: fd}
		place, err := b.place(strings.ReplaceAll(name, "OUT", out), k)
		if after := listing(t, out); after != before {
			t.Fatalf("outside there is now\n%s", after)
		}
		if entries, err := os.ReadDir(top); err != nil || len(entries) != 2 {
			t.Fatalf("beside the root there is now %v (%v)", entries, err)
		}
		if err != nil {
			return
		}
		defer unix.Close(place)
		if at, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", place)); err != nil || at != root && !strings.HasPrefix(at, root+"/") {
			t.Errorf("the place is %q (%v)", at, err)
		}
	})
}

// fill makes what it can of a layout.
func fill(t *testing.T, dir, layout, out string) {
	t.Helper()
	root, err := os.OpenRoot(dir)
	must(t, err)
	defer root.Close()
	for line := range strings.Lines(layout) {
		words := strings.Fields(strings.ReplaceAll(line, "OUT", out))
		switch {
		case len(words) == 2 && words[0] == "d":
			_ = root.MkdirAll(words[1], 0o755)
		case len(words) == 2 && words[0] == "f":
			_ = root.WriteFile(words[1], nil, 0o644)
		case len(words) == 3 && words[0] == "l":
			_ = root.Symlink(words[2], words[1])
		}
	}
}
