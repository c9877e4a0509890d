package preview1

import (
	"strings"

	"golang.org/x/sys/unix"
)

var pathEntryFunctions = []function{
	{"path_create_directory", "iii", pathCreateDirectory},
	{"path_remove_directory", "iii", pathRemoveDirectory},
	{"path_unlink_file", "iii", pathUnlinkFile},
	{"path_rename", "iiiiii", pathRename},
}

// directoryMode are the permissions of a new directory before the umask: there is no
// way to ask for others, and these are what native programs ask for.
const directoryMode = 0o777

// pathCreateDirectory makes a directory: (fd, path, path_len). EBADF, EEXIST, EFAULT,
// EILSEQ, ELOOP, ENAMETOOLONG, ENOENT, ENOTCAPABLE, ENOTDIR, EROFS, and those of
// mkdir(2).
func pathCreateDirectory(s *System, m memory, a arguments) Errno {
	d, path, e := s.lookup(m, a.u32(0), PathCreateDirectory, a.u32(1), a.u32(2))
	if e != ESUCCESS {
		return e
	}
	return s.create(d, path, func(dir int, name string) error { return unix.Mkdirat(dir, name, directoryMode) })
}

// create makes an entry.
func (s *System) create(d *descriptor, path string, call func(dir int, name string) error) Errno {
	w, e := s.walk(d, path)
	if e != ESUCCESS {
		return e
	}
	defer w.end()
	if d.readOnly {
		return w.refuseEntry()
	}
	return errnoOf(retry(func() error { return call(w.at.fd, w.entry()) }))
}

// refuseEntry is the error for a new entry on a read-only file system: that it is
// there already comes first.
func (w *walk) refuseEntry() Errno {
	if e := w.refuse(); e != EROFS {
		return e
	}
	var st unix.Stat_t
	name := strings.TrimRight(w.name, "/")
	if name == "." || name == ".." {
		return EEXIST
	}
	switch err := fstatat(w.at.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err {
	case nil:
		return EEXIST
	case unix.ENOENT:
		return EROFS
	default:
		return errnoOf(err)
	}
}

// refuse is the error for a change on a read-only file system: that there is no such
// directory comes first, which only the kernel knows if it is to resolve the path.
func (w *walk) refuse() Errno {
	name := strings.TrimRight(w.name, "/")
	end := strings.LastIndexByte(name, '/')
	if !w.kernel || end < 0 {
		return EROFS
	}
	var st unix.Stat_t
	if err := fstatat(w.at.fd, name[:end]+"/.", &st, 0); err != nil {
		return errnoOf(err)
	}
	return EROFS
}

// pathRemoveDirectory removes an empty directory: (fd, path, path_len). EBADF, EFAULT,
// EILSEQ, ELOOP, ENAMETOOLONG, ENOENT, ENOTCAPABLE, ENOTDIR, ENOTEMPTY, EROFS, and
// those of rmdir(2).
func pathRemoveDirectory(s *System, m memory, a arguments) Errno {
	d, path, e := s.lookup(m, a.u32(0), PathRemoveDirectory, a.u32(1), a.u32(2))
	if e != ESUCCESS {
		return e
	}
	return s.remove(d, path, unix.AT_REMOVEDIR)
}

// pathUnlinkFile removes an entry that is no directory: (fd, path, path_len). EBADF,
// EFAULT, EILSEQ, EISDIR, ELOOP, ENAMETOOLONG, ENOENT, ENOTCAPABLE, ENOTDIR, EROFS, and
// those of unlink(2).
func pathUnlinkFile(s *System, m memory, a arguments) Errno {
	d, path, e := s.lookup(m, a.u32(0), PathUnlinkFile, a.u32(1), a.u32(2))
	if e != ESUCCESS {
		return e
	}
	return s.remove(d, path, 0)
}

func (s *System) remove(d *descriptor, path string, flags int) Errno {
	w, e := s.walk(d, path)
	if e != ESUCCESS {
		return e
	}
	defer w.end()
	if d.readOnly {
		return w.refuse()
	}
	return errnoOf(retry(func() error { return unix.Unlinkat(w.at.fd, w.entry(), flags) }))
}

// pathRename renames an entry, over another one if that can be replaced: (fd,
// old_path, old_path_len, new_fd, new_path, new_path_len). EBADF, EFAULT, EILSEQ,
// EISDIR, ELOOP, ENAMETOOLONG, ENOENT, ENOTCAPABLE, ENOTDIR, ENOTEMPTY, EROFS, EXDEV
// also between a directory that can be written and one that cannot, and those of
// rename(2).
func pathRename(s *System, m memory, a arguments) Errno {
	from, fromPath, e := s.lookup(m, a.u32(0), PathRenameSource, a.u32(1), a.u32(2))
	if e != ESUCCESS {
		return e
	}
	to, toPath, e := s.lookup(m, a.u32(3), PathRenameTarget, a.u32(4), a.u32(5))
	if e != ESUCCESS {
		return e
	}
	source, e := s.walk(from, fromPath)
	if e != ESUCCESS {
		return e
	}
	defer source.end()
	target, e := s.walk(to, toPath)
	if e != ESUCCESS {
		return e
	}
	defer target.end()
	if e := sameMount(from, to); e != ESUCCESS {
		return e
	}
	if from.readOnly {
		if e := source.refuse(); e != EROFS {
			return e
		}
		return target.refuse()
	}
	return errnoOf(retry(func() error { return unix.Renameat(source.at.fd, source.entry(), target.at.fd, target.entry()) }))
}

// sameMount refuses what would take something out of a directory that cannot be
// written, or into it: it looks like a mount of its own.
func sameMount(a, b *descriptor) Errno {
	if a.directory.root != b.directory.root && (a.readOnly || b.readOnly) {
		return EXDEV
	}
	return ESUCCESS
}
