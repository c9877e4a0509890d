package preview1

import (
	"bytes"
	"encoding/binary"

	"golang.org/x/sys/unix"
)

var fdReaddirFunctions = []function{
	{"fd_readdir", "iiiIi", fdReaddir},
}

// direntSize is the size of an entry without its name, as a guest sees it.
const direntSize = 24

// fdReaddir writes entries of a directory: (fd, buf, buf_len, cookie, bufused:
// pointer to the number of bytes). A cookie of 0 begins again, and each entry has
// that of what follows; they are the kernel's, so that they stay what they are
// however large the directory is and whatever others do to it. The last entry is cut
// where the buffer ends; a buffer that is not full is the last. "." and ".." are
// among the entries. EBADF, EFAULT, EINVAL for a cookie that the file system does not
// know, ENOTCAPABLE, ENOTDIR, ENOENT for a directory that has been removed, and EACCES
// for one that could be found open, but not read.
func fdReaddir(s *System, m memory, a arguments) Errno {
	d, e := s.files.get(a.u32(0), FDReaddir)
	if e != ESUCCESS {
		return e
	}
	buffer, ok := m.bytes(a.u32(1), a.u32(2))
	if !ok {
		return EFAULT
	}
	if _, ok := m.bytes(a.u32(4), 4); !ok {
		return EFAULT
	}
	cookie := a.i64(3)
	used := 0
	for used < len(buffer) {
		entry, e := s.listing.at(d, cookie)
		if e != ESUCCESS {
			return e
		}
		if entry == nil {
			break
		}
		n, next, e := d.dirent(buffer[used:], entry)
		if e != ESUCCESS {
			return e
		}
		used += n
		cookie = next
	}
	return m.put32(a.u32(4), uint32(used))
}

// dirent writes an entry as far as it fits, and returns the cookie of what follows.
func (d *descriptor) dirent(to, entry []byte) (n int, next int64, e Errno) {
	name := direntName(entry)
	inode, kind := binary.NativeEndian.Uint64(entry), filetypeOf(uint32(entry[18])<<12)
	switch {
	case string(name) == "..":
		inode, e = d.above()
	case entry[18] == unix.DT_UNKNOWN:
		kind, e = d.kindOf(string(name))
	}
	if e != ESUCCESS {
		return 0, 0, e
	}
	next = int64(binary.NativeEndian.Uint64(entry[8:]))
	var head [direntSize]byte
	binary.LittleEndian.PutUint64(head[:], uint64(next))
	binary.LittleEndian.PutUint64(head[8:], inode)
	binary.LittleEndian.PutUint32(head[16:], uint32(len(name)))
	head[20] = byte(kind)
	n = copy(to, head[:])
	n += copy(to[n:], name)
	return n, next, ESUCCESS
}

// above is the inode of the directory above, which for the root is the root: what is
// outside is nobody's business, also if others have moved the directory there, as the entry
// says.
func (d *descriptor) above() (uint64, Errno) {
	var st unix.Stat_t
	var err error
	switch parent := d.directory.parent; {
	case parent != nil:
		err = fstat(parent.fd, &st)
	case !d.directory.root.confined:
		err = fstat(d.fd, &st)
	default: // the kernel does not lead out either, nor up from what must not be searched
		if err = fstatat(d.fd, "..", &st, 0); err != nil {
			err = fstat(d.fd, &st)
		}
	}
	return st.Ino, errnoOf(err)
}

// kindOf is the type of an entry where the file system does not say it.
func (d *descriptor) kindOf(name string) (Filetype, Errno) {
	var st unix.Stat_t
	err := fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err == unix.ENOENT { // it is gone
		return Unknown, ESUCCESS
	}
	return filetypeOf(st.Mode), errnoOf(err)
}

// direntName is the name in an entry of getdents64(2), after inode, cookie, size and
// type.
func direntName(entry []byte) []byte {
	name := entry[19:]
	if end := bytes.IndexByte(name, 0); end >= 0 {
		name = name[:end]
	}
	return name
}

// listing is what was last read of a directory, and not only for one call: guests
// ask for less than the kernel gives at once. There is one, whoever reads: so it
// takes no more memory if a guest opens many directories.
type listing struct {
	of     *descriptor
	buffer []byte
	filled int
	// offset in the buffer is where the entry of cookie is.
	offset int
	cookie int64
	ended  bool // nothing follows what is in the buffer
}

// listingSize is enough for any entry.
const listingSize = 16 << 10

// at is the entry of a cookie, as getdents64 has it, or nil at the end. Asked for the
// next, it has it at hand.
func (l *listing) at(d *descriptor, cookie int64) ([]byte, Errno) {
	if cookie == 0 || l.of != d || !l.find(cookie) {
		if e := l.rewind(d, cookie); e != ESUCCESS {
			return nil, e
		}
	}
	if l.offset == l.filled && !l.ended {
		if e := l.fill(d); e != ESUCCESS {
			return nil, e
		}
	}
	if l.offset == l.filled {
		return nil, ESUCCESS
	}
	entry := l.entry(l.offset)
	l.offset += len(entry)
	l.cookie = int64(binary.NativeEndian.Uint64(entry[8:]))
	return entry, ESUCCESS
}

func (l *listing) entry(offset int) []byte {
	size := int(binary.NativeEndian.Uint16(l.buffer[offset+16:]))
	return l.buffer[offset : offset+size]
}

// find goes to a cookie that is in the buffer.
func (l *listing) find(cookie int64) bool {
	if cookie == l.cookie {
		return true
	}
	for offset := 0; offset < l.filled; {
		entry := l.entry(offset)
		offset += len(entry)
		if next := int64(binary.NativeEndian.Uint64(entry[8:])); next == cookie {
			l.offset, l.cookie = offset, next
			return true
		}
	}
	return false
}

// rewind makes the kernel go on at a cookie.
func (l *listing) rewind(d *descriptor, cookie int64) Errno {
	l.of = nil
	switch _, err := unix.Seek(d.fd, cookie, unix.SEEK_SET); err {
	case nil:
	case unix.EBADF: // found open, but not to be read
		return EACCES
	default:
		return errnoOf(err)
	}
	l.of, l.filled, l.offset, l.cookie, l.ended = d, 0, 0, cookie, false
	return ESUCCESS
}

// fill reads what follows.
func (l *listing) fill(d *descriptor) Errno {
	if l.buffer == nil {
		l.buffer = make([]byte, listingSize)
	}
	n, err := getdents(d.fd, l.buffer)
	if err != nil {
		l.of = nil
		return errnoOf(err)
	}
	l.filled, l.offset, l.ended = n, 0, n == 0
	return ESUCCESS
}
