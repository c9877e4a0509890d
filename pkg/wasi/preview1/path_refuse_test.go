package preview1

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// onOnePath are calls of all functions that take a path, with a good one where they
// take two.
func (r *rig) onOnePath() map[string]func(fd, at, size uint64) Errno {
	out := r.room(64)
	good, goodSize := r.path("file")
	return map[string]func(fd, at, size uint64) Errno{
		"open":   func(fd, at, size uint64) Errno { return r.call("path_open", fd, 0, at, size, 0, 0, 0, 0, out) },
		"mkdir":  func(fd, at, size uint64) Errno { return r.call("path_create_directory", fd, at, size) },
		"rmdir":  func(fd, at, size uint64) Errno { return r.call("path_remove_directory", fd, at, size) },
		"unlink": func(fd, at, size uint64) Errno { return r.call("path_unlink_file", fd, at, size) },
		"stat":   func(fd, at, size uint64) Errno { return r.call("path_filestat_get", fd, 0, at, size, out) },
		"times": func(fd, at, size uint64) Errno {
			return r.call("path_filestat_set_times", fd, 0, at, size, 0, 1, setMtim)
		},
		"readlink":  func(fd, at, size uint64) Errno { return r.call("path_readlink", fd, at, size, out, 64, out) },
		"symlink":   func(fd, at, size uint64) Errno { return r.call("path_symlink", good, goodSize, fd, at, size) },
		"link from": func(fd, at, size uint64) Errno { return r.call("path_link", fd, 0, at, size, preopen, good, goodSize) },
		"link to":   func(fd, at, size uint64) Errno { return r.call("path_link", preopen, 0, good, goodSize, fd, at, size) },
		"move from": func(fd, at, size uint64) Errno { return r.call("path_rename", fd, at, size, preopen, good, goodSize) },
		"move to":   func(fd, at, size uint64) Errno { return r.call("path_rename", preopen, good, goodSize, fd, at, size) },
	}
}

func TestAllPathFunctionsRefuseTheSame(t *testing.T) {
	t.Parallel()
	eachWalk(t, func(t *testing.T, by resolution) {
		files := []string{"file", "dir/", "loop -> loop", "long -> " + strings.Repeat("x", 300)}
		g := newCage(t, by, files...)
		before := describe(t, g.dir)
		last := uint64(g.module.Memory().Size())
		for name, call := range g.onOnePath() {
			expect := func(want Errno, fd, at, size uint64) {
				t.Helper()
				if e := call(fd, at, size); e != want {
					t.Errorf("%s: errno %d, want %d", name, e, want)
				}
			}
			good := g.put([]byte("dir"))
			for _, fd := range []uint64{99, 1 << 31, 0xffffffff} {
				expect(EBADF, fd, good, 3)
			}
			expect(ENOTDIR, 1, good, 3)
			expect(EFAULT, preopen, last, 1)
			expect(EFAULT, preopen, last-1, 2)
			expect(EFAULT, preopen, outside, 20) // beyond 2³²
			expect(ENOENT, preopen, outside, 0)  // nothing is there wherever it is
			expect(ENAMETOOLONG, preopen, good, pathMax+1)
			expect(ENAMETOOLONG, preopen, outside, 0xffffffff)
			for path, want := range map[string]Errno{
				"":                                  ENOENT,
				"nothing/x":                         ENOENT,
				"\xff\xfe/x":                        ENOENT,
				"loop/x":                            ELOOP,
				"file/x":                            ENOTDIR,
				"..":                                ENOTCAPABLE,
				"../victim":                         ENOTCAPABLE,
				"dir/../../victim":                  ENOTCAPABLE,
				"nothing/../../victim":              ENOTCAPABLE,
				"/":                                 ENOTCAPABLE,
				"/file":                             ENOTCAPABLE,
				"//file":                            ENOTCAPABLE,
				"\x00":                              EILSEQ,
				"fi\x00le":                          EILSEQ,
				"file\x00":                          EILSEQ,
				"../victim\x00":                     EILSEQ,
				strings.Repeat("x", 256):            ENAMETOOLONG,
				strings.Repeat("x", 256) + "/x":     ENAMETOOLONG,
				"long/x":                            ENAMETOOLONG,
				strings.Repeat("./", 2040) + ".x/y": ENOENT,
			} {
				g.forgetBut(func() {
					at, size := g.path(path)
					if e := call(preopen, at, size); e != want {
						t.Errorf("%s %q: errno %d, want %d", name, path, e, want)
					}
				})
			}
		}
		if after := describe(t, g.dir); after != before {
			t.Errorf("it was\n%s\nand is\n%s", before, after)
		}
	})
}

// forgetBut frees the memory that f uses in the guest.
func (r *rig) forgetBut(f func()) {
	used := r.used
	f()
	r.used = used
}

// Names are bytes: what Linux takes, a guest can use.
func TestNamesAreBytes(t *testing.T) {
	t.Parallel()
	eachWalk(t, func(t *testing.T, by resolution) {
		g := newCage(t, by)
		for _, name := range []string{"\xff\xfe", "\x80", "a\nb", "ü", "\\", "..." /* not above */, strings.Repeat("\xff", 255)} {
			fd := g.open(asked{path: name, oflags: oCreat | oExcl, base: FDRead})
			g.expect(ESUCCESS, "fd_close", fd)
			if _, err := os.Lstat(filepath.Join(g.dir, name)); err != nil {
				t.Error(err)
			}
			if e := g.onPath("path_unlink_file", preopen, name); e != ESUCCESS {
				t.Errorf("unlink %q: errno %d", name, e)
			}
		}
	})
}

// TestHardLinksLeadNowhereElse tries to give what is outside a name inside, and the
// other way round.
func TestHardLinksLeadNowhereElse(t *testing.T) {
	t.Parallel()
	eachWalk(t, func(t *testing.T, by resolution) {
		g := newCage(t, by, "file", "dir/", "up -> ../victim", "away -> ../secret", "top -> /../secret/secret")
		must(t, os.Symlink(filepath.Join(g.dir, "../victim"), filepath.Join(g.dir, "absolute")))
		outside := filepath.Dir(g.dir)
		before := listTree(t, outside, g.dir)
		var victim unix.Stat_t
		must(t, unix.Stat(filepath.Join(outside, "victim"), &victim))
		inside, insideSize := g.path("file")
		fresh, freshSize := g.path("fresh")
		for _, name := range []string{"../victim", "up", "absolute", "away/secret", "top", "dir/../../victim", "dir/../up"} {
			g.forgetBut(func() {
				at, size := g.path(name)
				for _, follow := range []uint64{0, lookupFollow} {
					if g.call("path_link", preopen, follow, at, size, preopen, fresh, freshSize) == ESUCCESS {
						if st, e := g.stat("fresh", lookupFollow); e == ESUCCESS && st.ino == victim.Ino {
							t.Errorf("%s: what is outside has a name inside", name)
						}
						if st, _ := g.stat("fresh", 0); Filetype(st.kind) != SymbolicLink {
							t.Errorf("%s: what has got one more name is a %d", name, st.kind)
						}
						g.expect(ESUCCESS, "path_unlink_file", preopen, fresh, freshSize)
					}
					g.call("path_link", preopen, follow, inside, insideSize, preopen, at, size)
				}
			})
		}
		if after := listTree(t, outside, g.dir); after != before {
			t.Errorf("outside was\n%s\nand is\n%s", before, after)
		}
	})
}

// TestLargestBuffers are of memory that a guest of 4 GiB has, beyond the kernel's int.
func TestLargestBuffers(t *testing.T) {
	t.Parallel()
	g := newTree(t, "file", "link -> file", "dir/")
	const large = 1<<31 + 1<<16
	if _, ok := g.module.Memory().Grow(large >> 16); !ok {
		t.Fatal("the guest's memory does not grow")
	}
	path, size := g.path("link")
	buffer, n := g.room(64), g.room(4)
	g.expect(ESUCCESS, "path_readlink", preopen, path, size, buffer, large, n)
	if got := string(g.read(buffer, int(g.u32(n)))); got != "file" {
		t.Errorf("%q", got)
	}
	fd := g.open(asked{path: "file", base: FDRead | FDSeek})
	iovs := g.put(binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, uint32(buffer)), large))
	g.expect(ESUCCESS, "fd_pread", fd, iovs, 1, 0, n)
	if got := string(g.read(buffer, int(g.u32(n)))); got != "file" {
		t.Errorf("%q", got)
	}
	g.expect(ESUCCESS, "fd_readdir", g.open(asked{path: "dir", base: FDReaddir}), buffer, large, 0, n)
	if got := g.u32(n); got != 2*direntSize+3 {
		t.Errorf("%d bytes of entries", got)
	}
}

// TestOpenWithoutRoom is not parallel: the limit is the process's.
func TestOpenWithoutRoom(t *testing.T) {
	g := newTree(t, "file", "a/b/c/file")
	for _, path := range []string{"file", "a/b/c/file"} {
		before := openDescriptors(t)
		var old unix.Rlimit
		must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &old))
		must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: old.Max}))
		_, e := g.tryOpen(asked{path: path, base: FDRead})
		must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &old))
		if e != EMFILE {
			t.Errorf("%s: errno %d", path, e)
		}
		if after := openDescriptors(t); after != before {
			t.Errorf("%s: %d descriptors were open, and are %d", path, before, after)
		}
	}
	g.open(asked{path: "file", base: FDRead})
}
