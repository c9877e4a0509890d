package preview1

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// rights of a descriptor, as it says itself.
func (r *rig) rights(fd uint64) (base, inherit Rights) {
	r.t.Helper()
	at := r.room(24)
	r.expect(ESUCCESS, "fd_fdstat_get", fd, at)
	return Rights(binary.LittleEndian.Uint64(r.read(at+8, 8))), Rights(binary.LittleEndian.Uint64(r.read(at+16, 8)))
}

// needing are calls of functions with what they need on a directory, arguments apart.
func (r *rig) needing() map[Rights][]func(fd uint64) Errno {
	on := func(name, path string, more ...uint64) func(uint64) Errno {
		return func(fd uint64) Errno { return r.onPath(name, fd, path, more...) }
	}
	open := func(o asked) func(uint64) Errno {
		return func(fd uint64) Errno {
			o.fd = fd
			_, e := r.tryOpen(o)
			return e
		}
	}
	followed := func(name string, more ...uint64) func(uint64) Errno {
		return func(fd uint64) Errno {
			at, size := r.path("file")
			return r.call(name, append([]uint64{fd, 0, at, size}, more...)...)
		}
	}
	two := func(name string, first bool) func(uint64) Errno {
		return func(fd uint64) Errno {
			a, aSize := r.path("file")
			b, bSize := r.path("file2")
			from, to := fd, uint64(preopen)
			if !first {
				from, to = to, from
			}
			if name == "path_link" {
				return r.call(name, from, 0, a, aSize, to, b, bSize)
			}
			return r.call(name, from, a, aSize, to, b, bSize)
		}
	}
	buffer := r.room(4096)
	return map[Rights][]func(uint64) Errno{
		PathOpen:             {open(asked{path: "file"})},
		PathCreateFile:       {open(asked{path: "new", oflags: oCreat})},
		PathFilestatSetSize:  {open(asked{path: "file", oflags: oTrunc})},
		PathCreateDirectory:  {on("path_create_directory", "newdir")},
		PathRemoveDirectory:  {on("path_remove_directory", "dir")},
		PathUnlinkFile:       {on("path_unlink_file", "file")},
		PathReadlink:         {on("path_readlink", "link", buffer, 10, buffer+16)},
		PathFilestatGet:      {followed("path_filestat_get", buffer)},
		PathFilestatSetTimes: {followed("path_filestat_set_times", 0, 0, setAtimNow)},
		PathLinkSource:       {two("path_link", true)},
		PathLinkTarget:       {two("path_link", false)},
		PathRenameSource:     {two("path_rename", true)},
		PathRenameTarget:     {two("path_rename", false)},
		PathSymlink: {func(fd uint64) Errno {
			at, size := r.path("newlink")
			return r.call("path_symlink", at, size, fd, at, size)
		}},
		FDReaddir:          {func(fd uint64) Errno { return r.call("fd_readdir", fd, buffer, 4096, 0, r.room(4)) }},
		FDFilestatGet:      {func(fd uint64) Errno { return r.call("fd_filestat_get", fd, buffer) }},
		FDFilestatSetTimes: {func(fd uint64) Errno { return r.call("fd_filestat_set_times", fd, 0, 0, setMtimNow) }},
		FDFdstatSetFlags:   {func(fd uint64) Errno { return r.call("fd_fdstat_set_flags", fd, 0) }},
		FDSync:             {func(fd uint64) Errno { return r.call("fd_sync", fd) }},
		FDDatasync:         {func(fd uint64) Errno { return r.call("fd_datasync", fd) }},
		FDAdvise:           {func(fd uint64) Errno { return r.call("fd_advise", fd, 0, 0, 0) }},
	}
}

func TestDirectoriesNeedRights(t *testing.T) {
	t.Parallel()
	probe := newTree(t)
	for right := range probe.needing() {
		g := newTree(t, "file", "dir/", "link -> file")
		calls := g.needing()[right]
		passed := allRights &^ FDFilestatSetSize // which would do as well, see mayTruncate
		without := g.open(asked{path: ".", oflags: oDirectory, base: rightsOfDirectory &^ right, inherit: passed})
		with := g.open(asked{path: ".", oflags: oDirectory, base: right | PathOpen, inherit: passed})
		if base, inherit := g.rights(with); base != right|PathOpen || inherit != passed {
			t.Errorf("%b: has %b and passes on %b", right, base, inherit)
		}
		for _, call := range calls {
			if e := call(without); e != ENOTCAPABLE {
				t.Errorf("%b: errno %d without the right", right, e)
			}
			if e := call(with); e != ESUCCESS {
				t.Errorf("%b: errno %d with nothing but the right", right, e)
			}
			if e := call(1 << 20); e != EBADF {
				t.Errorf("%b: errno %d on what is not open", right, e)
			}
			if want, e := notDirectory(right), call(1); e != want {
				t.Errorf("%b: errno %d on /dev/null, want %d", right, e, want)
			}
		}
	}
}

// notDirectory is the error of functions for directories on a device that is one of
// files too.
func notDirectory(right Rights) Errno {
	switch right {
	case FDSync, FDDatasync:
		return EINVAL // of fsync(2)
	case FDFilestatGet, FDFilestatSetTimes, FDFdstatSetFlags, FDAdvise:
		return ESUCCESS
	}
	return ENOTDIR
}

func TestRightsArePassedOn(t *testing.T) {
	t.Parallel()
	g := newTree(t, "dir/file", "file")
	base, inherit := g.rights(preopen)
	if base != rightsOfDirectory || inherit != allRights {
		t.Errorf("what is found open has %b and passes on %b", base, inherit)
	}
	dir := g.open(asked{path: "dir", oflags: oDirectory, base: PathOpen | FDReaddir, inherit: FDRead | FDSeek})
	if _, e := g.tryOpen(asked{fd: dir, path: "file", base: FDRead | FDWrite}); e != ENOTCAPABLE {
		t.Errorf("more than the directory passes on: errno %d", e)
	}
	if _, e := g.tryOpen(asked{fd: dir, path: "file", base: FDRead, inherit: FDTell}); e != ENOTCAPABLE {
		t.Errorf("more to pass on than the directory does: errno %d", e)
	}
	file := g.open(asked{fd: dir, path: "file", base: FDRead | FDSeek})
	if base, inherit := g.rights(file); base != FDRead|FDSeek || inherit != 0 {
		t.Errorf("the file has %b and passes on %b", base, inherit)
	}
	// What asks for all rights gets those that there are for what it is.
	everything := g.open(asked{path: "file", base: ^Rights(0), inherit: ^Rights(0)})
	if base, inherit := g.rights(everything); base != rightsOfFile || inherit != allRights {
		t.Errorf("the file has %b and passes on %b", base, inherit)
	}
	directory := g.open(asked{path: "dir", base: ^(FDWrite | FDAllocate), inherit: ^Rights(0)})
	if base, inherit := g.rights(directory); base != rightsOfDirectory || inherit != allRights {
		t.Errorf("the directory has %b and passes on %b", base, inherit)
	}
}

func TestRightsCanOnlyBeTakenAway(t *testing.T) {
	t.Parallel()
	g := newTree(t, "file")
	file := g.open(asked{path: "file", base: FDRead | FDWrite | FDSeek, inherit: FDRead})
	g.expect(ENOTCAPABLE, "fd_fdstat_set_rights", file, uint64(FDRead|FDTell), 0)
	g.expect(ENOTCAPABLE, "fd_fdstat_set_rights", file, uint64(FDRead), uint64(FDRead|FDWrite))
	g.expect(EBADF, "fd_fdstat_set_rights", 77, 0, 0)
	g.expect(ESUCCESS, "fd_fdstat_set_rights", file, uint64(FDRead), 0)
	if base, inherit := g.rights(file); base != FDRead || inherit != 0 {
		t.Errorf("has %b and passes on %b", base, inherit)
	}
	iovs, out := g.texts("x"), g.room(4)
	g.expect(ENOTCAPABLE, "fd_write", file, iovs, 1, out)
	g.expect(ENOTCAPABLE, "fd_seek", file, 0, 0, g.room(8))
	g.expect(ENOTCAPABLE, "fd_pread", file, iovs, 1, 0, out)
	g.expect(ENOTCAPABLE, "fd_fdstat_set_rights", file, uint64(FDRead|FDWrite), 0)
	g.expect(ESUCCESS, "fd_read", file, iovs, 1, out)
}

func TestReadOnlyLooksLikeAMount(t *testing.T) {
	t.Parallel()
	eachResolution(t, func(t *testing.T, confined bool) {
		dir, other := t.TempDir(), t.TempDir()
		populate(t, dir, "file", "dir/", "full/x", "link -> file", "dirlink -> full")
		populate(t, other, "other")
		must(t, unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
		before := describe(t, dir)
		g := newRig(t, Config{Preopens: []Preopen{{FD: openDirectory(t, dir), Name: "/ro", ReadOnly: true, Confined: confined}, {FD: openDirectory(t, other), Name: "/rw", Confined: confined}}})
		for _, tc := range []struct {
			name, path string
			want       Errno
		}{
			{"path_create_directory", "new", EROFS},
			{"path_create_directory", "dir/new", EROFS},
			{"path_create_directory", "dir", EEXIST},
			{"path_create_directory", "dir/.", EEXIST},
			{"path_create_directory", "dir/..", EEXIST},
			{"path_create_directory", "nothing/new", ENOENT},
			{"path_remove_directory", "dir", EROFS},
			{"path_unlink_file", "file", EROFS},
			{"path_unlink_file", "full/x", EROFS},
			{"path_unlink_file", "file/x", ENOTDIR},
		} {
			if e := g.onPath(tc.name, preopen, tc.path); e != tc.want {
				t.Errorf("%s %s: errno %d, want %d", tc.name, tc.path, e, tc.want)
			}
		}
		for _, tc := range []struct {
			asked
			want Errno
		}{
			{asked{path: "file", base: FDRead}, ESUCCESS},
			{asked{path: "link", base: FDRead}, ESUCCESS},
			{asked{path: "dir", oflags: oDirectory, base: FDReaddir}, ESUCCESS},
			{asked{path: "file", base: FDWrite}, EROFS},
			{asked{path: "link", base: FDRead | FDWrite}, EROFS},
			{asked{path: "link", nofollow: true, base: FDWrite}, ELOOP},
			{asked{path: "file", oflags: oTrunc}, EROFS},
			{asked{path: "file", oflags: oCreat, base: FDRead}, ESUCCESS},
			{asked{path: "file", oflags: oCreat | oExcl}, EEXIST},
			{asked{path: "new", oflags: oCreat}, EROFS},
			{asked{path: "new", oflags: oCreat | oExcl}, EROFS},
			{asked{path: "new", base: FDWrite}, ENOENT},
			{asked{path: "dir", base: FDWrite}, EISDIR},
			{asked{path: "dir", oflags: oCreat}, EISDIR},
			{asked{path: "fifo", base: FDRead | FDWrite, fdflags: Nonblock}, ESUCCESS},
			{asked{path: "dirlink/x", base: FDRead | FDWrite}, EROFS},
		} {
			if _, e := g.tryOpen(tc.asked); e != tc.want {
				t.Errorf("open %+v: errno %d, want %d", tc.asked, e, tc.want)
			}
		}
		file, size := g.path("file")
		fresh, freshSize := g.path("new")
		theirs, theirsSize := g.path("other")
		g.expect(EROFS, "path_symlink", file, size, preopen, fresh, freshSize)
		g.expect(EEXIST, "path_symlink", file, size, preopen, file, size)
		g.expect(EROFS, "path_rename", preopen, file, size, preopen, fresh, freshSize)
		g.expect(EROFS, "path_link", preopen, 0, file, size, preopen, fresh, freshSize)
		g.expect(EEXIST, "path_link", preopen, 0, file, size, preopen, file, size)
		g.expect(EXDEV, "path_link", preopen, 0, file, size, preopen+1, fresh, freshSize)
		g.expect(EXDEV, "path_link", preopen+1, 0, theirs, theirsSize, preopen, fresh, freshSize)
		g.expect(EXDEV, "path_rename", preopen, file, size, preopen+1, fresh, freshSize)
		g.expect(EXDEV, "path_rename", preopen+1, theirs, theirsSize, preopen, fresh, freshSize)
		g.expect(EROFS, "path_filestat_set_times", preopen, 0, file, size, 1, 1, setAtim|setMtim)
		g.expect(ENOENT, "path_filestat_set_times", preopen, 0, fresh, freshSize, 1, 1, setAtim|setMtim)
		open := g.open(asked{path: "file", base: FDRead | FDFilestatSetTimes | FDFilestatSetSize})
		g.expect(EROFS, "fd_filestat_set_times", open, 1, 1, setAtim|setMtim)
		g.expect(EINVAL, "fd_filestat_set_size", open, 0)
		sub := g.open(asked{path: "dir", oflags: oDirectory, base: rightsOfDirectory, inherit: allRights})
		if e := g.onPath("path_create_directory", sub, "x"); e != EROFS {
			t.Errorf("make a directory in one that was opened in it: errno %d", e)
		}
		g.expect(EROFS, "fd_filestat_set_times", sub, 1, 1, setAtim|setMtim)
		if after := describe(t, dir); after != before {
			t.Errorf("it was\n%s\nand is\n%s", before, after)
		}
		if _, err := os.Stat(filepath.Join(other, "new")); err == nil {
			t.Error("something came out of it")
		}
	})
}
