package direct

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

var longAgo = time.Date(2001, time.September, 9, 1, 46, 40, 0, time.UTC)

// volume makes a directory of the host, with a file system in it at sub.
func volume(t *testing.T, p *place, name string) string {
	t.Helper()
	dir := filepath.Join(p.dir, name)
	must(t, os.MkdirAll(dir+"/sub", 0o755))
	must(t, os.WriteFile(dir+"/file", []byte("on the host\n"), 0o644))
	mountTmpfs(t, dir+"/sub")
	must(t, os.WriteFile(dir+"/sub/file", []byte("below\n"), 0o644))
	for _, file := range []string{"/file", "/sub/file"} {
		must(t, os.Chtimes(dir+file, longAgo, longAgo))
	}
	return dir
}

func mountTmpfs(t *testing.T, dir string) {
	t.Helper()
	must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, ""))
	t.Cleanup(func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) })
}

// mounted is a comparison of mounts that a function adds. It makes the sources.
func mounted(add func(*testing.T, *place) []specs.Mount) func(*testing.T, *place, *specs.Spec) {
	return func(t *testing.T, p *place, s *specs.Spec) { s.Mounts = append(s.Mounts, add(t, p)...) }
}

// bound mounts a volume at /data.
func bound(options ...string) func(*testing.T, *place, *specs.Spec) {
	return mounted(func(t *testing.T, p *place) []specs.Mount {
		return []specs.Mount{{Destination: "/data", Type: "bind", Source: volume(t, p, "volume"), Options: options}}
	})
}

func tmpfs(options ...string) func(*testing.T, *place, *specs.Spec) {
	return mounted(func(*testing.T, *place) []specs.Mount {
		return []specs.Mount{
			{Destination: "/sticky", Type: "tmpfs", Source: "tmpfs", Options: options}, {Destination: "/private", Type: "tmpfs", Source: "tmpfs", Options: options},
			{Destination: "/not/there", Type: "tmpfs", Source: "tmpfs", Options: options},
		}
	})
}

// Differences of what is hidden.
const (
	hides = "an empty directory nevertheless, that cannot be written to"
	null  = "the host's /dev/null, not that of the container's own /dev"
)

func mounts() []comparison {
	inData := []string{"write", "/data/new", "write", "/data/sub/new", "walk", "/data"}
	inTmpfs := []string{"write", "/sticky/new", "write", "/private/new", "write", "/not/there/new", "walk", "/"}
	all := []comparison{
		{
			name:   "volume",
			fields: []string{"mounts[].destination", "mounts[].type", "mounts[].source", "mounts[].options[]"},
			spec:   bound("rbind", "rw"),
			does:   inData,
			want:   view{"host /volume/new": "100644 0:0 5 bytes", "host /volume/sub/new": "100644 0:0 5 bytes"},
		},
		{
			name: "volume of a user",
			spec: func(t *testing.T, p *place, s *specs.Spec) {
				bound("bind")(t, p, s)
				must(t, os.Chown(p.dir+"/volume", 1000, 1000))
				s.Process.User = specs.User{UID: 1000, GID: 1001}
			},
			does: inData,
			want: view{"host /volume/new": "100644 1000:1001 5 bytes"},
		},
		{name: "volume without what is below", spec: bound("bind"), does: inData, want: view{"host /volume/sub/new": absent, "mount /data/sub": absent}},
		{name: "volume of no type", spec: mounted(func(t *testing.T, p *place) []specs.Mount {
			return []specs.Mount{{Destination: "/data", Type: "none", Source: volume(t, p, "volume"), Options: []string{"rbind"}}}
		}), does: inData},
		{
			name: "read-only volume", spec: bound("rbind", "ro"), does: inData,
			want: view{"host /volume/new": absent, "host /volume/sub/new": "100644 0:0 5 bytes"},
		},
		{
			name: "read-only volume with all below", spec: bound("rbind", "rro"), does: inData,
			want: view{"host /volume/new": absent, "host /volume/sub/new": absent},
		},
		{name: "last option counts", spec: bound("rbind", "ro", "noexec", "rw", "exec"), does: inData, want: view{"host /volume/new": "100644 0:0 5 bytes"}},
		{name: "access times", spec: bound("bind", "noatime", "nodiratime")},
		{name: "strict access times", spec: bound("bind", "strictatime")},
		{name: "no links", spec: bound("bind", "nosymfollow")},
		{name: "private volume", spec: bound("rbind", "rprivate"), ask: askPropagation(false)},
		{name: "volume with later mounts", spec: shared("rbind", "rslave"), ask: askPropagation(true)},
		{name: "volume with later mounts, read-only", spec: shared("rbind", "slave", "ro"), ask: askPropagation(true)},
		{name: "private volume of a shared mount", spec: shared("rbind", "rprivate"), ask: askPropagation(false)},
		{
			name: "volumes one in the other",
			spec: mounted(func(t *testing.T, p *place) []specs.Mount {
				outer, inner := volume(t, p, "outer"), volume(t, p, "inner")
				return []specs.Mount{
					{Destination: "/data", Type: "bind", Source: outer, Options: []string{"rbind", "ro"}},
					{Destination: "/data/sub", Type: "bind", Source: inner, Options: []string{"rbind", "rw"}},
					{Destination: "/data/file", Type: "bind", Source: inner + "/file", Options: []string{"bind", "ro"}},
					{Destination: "/etc/place/x/y", Type: "bind", Source: inner, Options: []string{"bind"}},
				}
			}),
			does: append([]string{"read", "/data/file", "read", "/data/sub/file", "write", "/data/file", "walk", "/private"}, inData...),
		},
		{
			name: "files",
			spec: mounted(func(t *testing.T, p *place) []specs.Mount {
				source := volume(t, p, "volume") + "/file"
				return []specs.Mount{
					{Destination: "/etc/passwd", Type: "bind", Source: source, Options: []string{"rbind", "ro"}}, {Destination: "/etc/hosts", Type: "bind", Source: source, Options: []string{"rbind", "rw"}},
					{Destination: "/run/secrets/x", Type: "bind", Source: source, Options: []string{"bind"}},
				}
			}),
			does: []string{"read", "/etc/passwd", "write", "/etc/passwd", "write", "/etc/hosts", "read", "/run/secrets/x", "walk", "/etc"},
		},
		{
			name: "file system of the host that is read-only",
			spec: mounted(func(t *testing.T, p *place) []specs.Mount {
				dir := volume(t, p, "volume")
				must(t, unix.Mount("", dir+"/sub", "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""))
				return []specs.Mount{
					{Destination: "/1", Type: "bind", Source: dir + "/sub", Options: []string{"rbind"}}, {Destination: "/2", Type: "bind", Source: dir + "/sub", Options: []string{"rbind", "rw"}},
					{Destination: "/3", Type: "bind", Source: dir + "/sub", Options: []string{"rbind", "ro"}}, {Destination: "/4", Type: "bind", Source: dir, Options: []string{"rbind", "rw"}},
				}
			}),
			does: []string{"write", "/1/new", "write", "/2/new", "write", "/3/new", "write", "/4/sub/new", "write", "/4/new"},
		},
		{name: "tmpfs", spec: tmpfs("nosuid", "nodev"), does: inTmpfs},
		{name: "tmpfs with options", spec: tmpfs("size=64k", "mode=0751", "uid=7", "gid=8", "nr_inodes=5"), does: append([]string{"grow", "/not/there/large"}, inTmpfs...)},
		{name: "tmpfs with blocks", spec: tmpfs("nr_blocks=4", "mode=1770"), does: []string{"grow", "/sticky/large"}},
		{name: "read-only tmpfs", spec: tmpfs("ro"), does: inTmpfs},
		{
			name: "mounts in a read-only tmpfs",
			spec: mounted(func(t *testing.T, p *place) []specs.Mount {
				return []specs.Mount{
					{Destination: "/closed", Type: "tmpfs", Source: "tmpfs", Options: []string{"ro", "mode=755"}},
					{Destination: "/closed/data", Type: "bind", Source: volume(t, p, "volume"), Options: []string{"bind"}},
				}
			}),
			does: []string{"write", "/closed/new", "write", "/closed/data/new", "walk", "/closed"},
		},
		{
			name: "read-only /dev",
			spec: func(_ *testing.T, _ *place, s *specs.Spec) {
				for i := range s.Mounts {
					if s.Mounts[i].Destination == "/dev" {
						s.Mounts[i].Options = append(s.Mounts[i].Options, "ro")
					}
				}
			},
			does: []string{"write", "/dev/new", "write", "/dev/null", "write", "/dev/shm/new"},
		},
		{
			name:   "read-only root",
			fields: []string{"root.readonly"},
			spec: func(t *testing.T, p *place, s *specs.Spec) {
				s.Root.Readonly, s.Process.Cwd = true, "/made/here"
				bound("rbind")(t, p, s)
			},
			does: append([]string{"write", "/new", "write", "/public/new", "directory", "/sticky/new", "write", "/run/new", "write", "/dev/shm/new", "walk", "/"}, inData...),
			want: view{"file /new": absent, "host /volume/new": "100644 0:0 5 bytes"},
		},
		{
			name: "device in the image and in a volume",
			spec: mounted(func(t *testing.T, p *place) []specs.Mount {
				dir := volume(t, p, "volume")
				must(t, unix.Mknod(dir+"/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
				return []specs.Mount{{Destination: "/data", Type: "bind", Source: dir, Options: []string{"bind", "nodev"}}}
			}),
			does: []string{"read", "/data/null", "write", "/data/null", "read", "/dev/null", "write", "/dev/null", "write", "/dev/full", "grow", "/dev/zero"},
			want: view{"stdout": "read /data/null: Permission denied\nwrite /data/null: Permission denied\nread /dev/null: \"\"\nwrite /dev/null: ok\n" +
				"write /dev/full: No space left on device\ngrow /dev/zero: 4096 KiB, ok\nwaiting"},
		},
		{
			name:   "masked and read-only paths",
			fields: []string{"linux.maskedPaths[]", "linux.readonlyPaths[]"},
			spec: func(t *testing.T, p *place, s *specs.Spec) {
				s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, "/secret", "/files/text", "/etc/link", "/gone", "/data/file")
				s.Linux.ReadonlyPaths = append(s.Linux.ReadonlyPaths, "/public", "/etc/passwd", "/gone")
				bound("bind")(t, p, s)
			},
			does: append([]string{"read", "/files/text", "read", "/secret/file", "write", "/secret/new", "write", "/public/new", "write", "/etc/passwd", "write", "/etc/new",
				"read", "/data/file", "write", "/files/text", "walk", "/secret", "walk", "/files"}, inData...),
			differ: map[string]string{
				"file /secret": hides, "tmpfs /secret": hides, "mount /data/file": null, "mount /files/text": null, "tmpfs /data/file": null, "tmpfs /files/text": null,
			},
		},
		{
			name:   "propagation of the root",
			fields: []string{"linux.rootfsPropagation"},
			spec:   func(_ *testing.T, _ *place, s *specs.Spec) { s.Linux.RootfsPropagation = "private" },
			does:   []string{"walk", "/"},
		},
		{
			name: "slave root",
			spec: func(_ *testing.T, _ *place, s *specs.Spec) { s.Linux.RootfsPropagation = "rslave" },
			does: []string{"walk", "/"},
		},
	}
	return all
}

// shared is bound, on a mount that tells others of what is mounted below.
func shared(options ...string) func(*testing.T, *place, *specs.Spec) {
	return func(t *testing.T, p *place, s *specs.Spec) {
		mountTmpfs(t, p.dir)
		must(t, unix.Mount("", p.dir, "", unix.MS_SHARED, ""))
		bound(options...)(t, p, s)
		must(t, unix.Mount("", p.dir+"/volume/sub", "", unix.MS_SHARED, ""))
	}
}

// askPropagation mounts something in the volume while the container runs.
func askPropagation(arrives bool) func(*testing.T, *place, *testenv.Task, view) {
	return func(t *testing.T, p *place, k *testenv.Task, v view) {
		late := p.dir + "/volume/sub/late"
		must(t, os.Mkdir(late, 0o755))
		mountTmpfs(t, late)
		must(t, os.WriteFile(late+"/file", []byte("late\n"), 0o644))
		_, err := os.Stat(fmt.Sprintf("/proc/%d/root/data/sub/late/file", k.Pid()))
		if arrived := err == nil; arrived != arrives {
			t.Errorf("%s: what is mounted later arrives: %v", p.launcher, arrived)
		}
		r := k.Exec(t, "late", module, "read", "/data/sub/late/file")
		v["late"] = r.Stdout + r.Stderr
	}
}
