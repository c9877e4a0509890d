package preview1

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// maxDescriptors bounds what a guest has open; the process's own limit mostly is
// lower, and is what RLIMIT_NOFILE says.
const maxDescriptors = 1 << 20

// descriptor is what a guest's number stands for. Several numbers never stand for
// the same.
type descriptor struct {
	fd   int // the host's
	kind Filetype
	// seekable is false for what has no position: terminals, pipes, sockets.
	seekable bool
	base     Rights
	inherit  Rights
	// access is how it was opened: O_RDONLY, O_WRONLY or O_RDWR.
	access int
	// sync are the flags that Linux does not keep, see syncFlags.
	sync Fdflags
	// kept are the flags as the guest has set them if they are kept here only, else nil:
	// see keepFlags. Descriptors for the same open file have the same.
	kept *Fdflags
	// named tells that it is a directory that the guest found open, and name how it
	// knows it.
	named bool
	name  string
	// directory is what a directory has beyond others.
	directory *directory
	// readOnly tells that it was found in a directory that cannot be written.
	readOnly bool
	// listens tells that the socket accepts connections.
	listens bool
	// patient makes a socket that does not block wait nevertheless: the guest has not
	// asked yet whether it does. See Preopen.
	patient bool
	// stopper is for a listener, or a connection that was accepted, of a guest that can
	// be stopped.
	stopper *stopper
	// polled is where a poller may have it.
	polled int
}

// table gives a guest's numbers their meaning. The lowest free one is used next, as
// POSIX has it.
type table struct {
	slots []*descriptor // nil is free
	free  int           // no slot below is free
}

// get returns the descriptor if it has all these rights.
func (t *table) get(number uint32, rights Rights) (*descriptor, Errno) {
	if uint64(number) >= uint64(len(t.slots)) || t.slots[number] == nil {
		return nil, EBADF
	}
	d := t.slots[number]
	if d.base&rights != rights {
		return nil, d.refusal(rights)
	}
	return d, ESUCCESS
}

// refusal is the error for what a descriptor must not do, or could not do in any
// case, as POSIX has it for its kind.
func (d *descriptor) refusal(rights Rights) Errno {
	directories := rightsOfDirectory &^ (rightsOfFile | rightsOfListener)
	switch {
	case d.kind != Directory && rights&directories != 0:
		return ENOTDIR
	case !d.isSocket() && rights&(SockAccept|SockShutdown) != 0:
		return ENOTSOCK
	case d.kind == SocketDgram && rights&SockAccept != 0:
		return ENOTSUP
	case d.isSocket() && !d.listens && rights&SockAccept != 0:
		return EINVAL
	case d.kind == Directory && rights&(FDRead|FDWrite|FDAllocate|FDFilestatSetSize|FDSeek|FDTell) != 0:
		return EISDIR
	case d.kind == Directory:
		return ENOTCAPABLE
	case d.isSocket() && rights == FDAllocate:
		return ENODEV
	case d.listens && rights&^(FDRead|FDWrite) == 0:
		return ENOTCONN
	case !d.isSocket() && d.access == unix.O_RDONLY && rights == FDAllocate:
		return EBADF
	case !d.seekable && rights&(FDSeek|FDTell|FDAdvise|FDAllocate) != 0:
		return ESPIPE
	case !d.seekable && rights&(FDSync|FDDatasync|FDFilestatSetSize) != 0:
		return EINVAL
	case d.isSocket():
		return ENOTCAPABLE
	case d.access == unix.O_RDONLY && rights&FDFilestatSetSize != 0:
		return EINVAL
	case d.access == unix.O_RDONLY && rights&(FDWrite|FDAllocate) != 0, d.access == unix.O_WRONLY && rights&FDRead != 0:
		return EBADF
	}
	return ENOTCAPABLE
}

func (d *descriptor) isSocket() bool { return d.kind == SocketStream || d.kind == SocketDgram }

// add gives a descriptor the lowest free number.
func (t *table) add(d *descriptor) (uint32, Errno) {
	for t.free < len(t.slots) && t.slots[t.free] != nil {
		t.free++
	}
	if t.free >= maxDescriptors {
		return 0, EMFILE
	}
	if t.free == len(t.slots) {
		t.slots = append(t.slots, nil)
	}
	t.slots[t.free] = d
	t.free++
	return uint32(t.free - 1), ESUCCESS
}

// remove frees a number and returns what it stood for.
func (t *table) remove(number uint32) (*descriptor, Errno) {
	d, e := t.get(number, 0)
	if e != ESUCCESS {
		return nil, e
	}
	t.slots[number] = nil
	t.free = min(t.free, int(number))
	return d, ESUCCESS
}

// rename makes to stand for what from stands for, and from free. It returns what to
// stood for.
func (t *table) rename(from, to uint32) (*descriptor, Errno) {
	if _, e := t.get(to, 0); e != ESUCCESS {
		return nil, e
	}
	if from == to {
		_, e := t.get(from, 0)
		return nil, e
	}
	d, e := t.remove(from)
	if e != ESUCCESS {
		return nil, e
	}
	replaced := t.slots[to]
	t.slots[to] = d
	return replaced, ESUCCESS
}

func (t *table) closeAll() {
	for _, d := range t.slots {
		if d != nil {
			d.close()
		}
	}
	t.slots, t.free = nil, 0
}

// close ends a descriptor. Like Linux, it is gone even if there is an error.
func (d *descriptor) close() Errno {
	if d.directory != nil {
		d.directory.release()
		return ESUCCESS
	}
	if d.stopper != nil {
		return errnoOf(d.stopper.close(d))
	}
	return errnoOf(closeFD(d.fd))
}

// newDescriptor takes a descriptor of the host that is no directory. Its rights are
// those of its kind and of how it was opened.
func newDescriptor(fd int) (*descriptor, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("descriptor %d: %w", fd, err)
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return nil, fmt.Errorf("descriptor %d: %w", fd, err)
	}
	d := &descriptor{fd: fd, kind: filetypeOf(st.Mode)}
	switch d.kind {
	case SocketStream: // as mode says: of any type
		if err := d.inspectSocket(); err != nil {
			return nil, fmt.Errorf("descriptor %d: %w", fd, err)
		}
	case Directory:
		d.base, d.inherit = rightsOfDirectory, allRights
	default:
		d.inspect(flags)
	}
	return d, nil
}

// inspect finds out what can be done with what is neither a directory nor a socket,
// and was opened with these flags.
func (d *descriptor) inspect(flags int) {
	d.seekable = d.kind == RegularFile
	if !d.seekable {
		_, err := unix.Seek(d.fd, 0, unix.SEEK_CUR)
		d.seekable = err == nil
	}
	d.base = rightsOfStream
	if d.seekable {
		d.base = rightsOfFile
	}
	switch d.access = flags & unix.O_ACCMODE; d.access {
	case unix.O_RDONLY:
		d.base &^= FDWrite | FDAllocate | FDFilestatSetSize
	case unix.O_WRONLY:
		d.base &^= FDRead
	}
}

// filetypeOf is the type that a mode of stat(2) says. A FIFO has none in the
// specification.
func filetypeOf(mode uint32) Filetype {
	switch mode & unix.S_IFMT {
	case unix.S_IFBLK:
		return BlockDevice
	case unix.S_IFCHR:
		return CharacterDevice
	case unix.S_IFDIR:
		return Directory
	case unix.S_IFREG:
		return RegularFile
	case unix.S_IFSOCK:
		return SocketStream
	case unix.S_IFLNK:
		return SymbolicLink
	}
	return Unknown
}
