package preview1

import "golang.org/x/sys/unix"

var pathOpenFunctions = []function{
	{"path_open", "iiiiiIIii", pathOpen},
}

// fileMode are the permissions of a new file before the umask: there is no way to ask
// for others, and these are what native programs ask for.
const fileMode = 0o666

// pathOpen opens what a path leads to, or makes a file: (fd, dirflags: lookupflags,
// path, path_len, oflags, fs_rights_base, fs_rights_inheriting, fdflags, fd: pointer
// to the new descriptor).
//
// It can be read and written as the rights demand, of which the directory has to have
// all to pass on; those that what is opened cannot have are left out. EACCES also for
// a file of a procfs that is to be written and for a process's memory, EBADF, EEXIST,
// EFAULT, EILSEQ, EINVAL for unknown flags and for CREAT of a DIRECTORY, EISDIR, ELOOP
// also for a symbolic link that is not to be followed, EMFILE, ENAMETOOLONG, ENOENT, ENOTCAPABLE, ENOTDIR, ENXIO
// for a socket and for a FIFO that is to be written, does not block and has no reader,
// EROFS, and those of open(2).
func pathOpen(s *System, m memory, a arguments) Errno {
	o, e := newOpening(a)
	if e != ESUCCESS {
		return e
	}
	if _, ok := m.bytes(a.u32(8), 4); !ok {
		return EFAULT
	}
	d, path, e := s.lookup(m, a.u32(0), o.needs(), a.u32(2), a.u32(3))
	if e != ESUCCESS {
		return e
	}
	if (o.base|o.inherit)&^d.inherit != 0 || o.oflags&oTrunc != 0 && !d.mayTruncate() {
		return ENOTCAPABLE
	}
	opened, e := s.open(d, path, o)
	if e != ESUCCESS {
		return e
	}
	number, e := s.files.add(opened)
	if e != ESUCCESS {
		opened.close()
		return e
	}
	return m.put32(a.u32(8), number)
}

// opening is how something is to be opened.
type opening struct {
	follow        bool
	oflags        oflags
	fdflags       Fdflags
	base, inherit Rights
}

func newOpening(a arguments) (o opening, e Errno) {
	if a.u32(1)&^allLookupflags != 0 || a.u32(4)&^uint32(allOflags) != 0 || a.u32(7)&^uint32(allFdflags) != 0 {
		return o, EINVAL
	}
	o = opening{
		oflags: oflags(a.u32(4)), fdflags: Fdflags(a.u32(7)),
		// Guests that ask for all rights mean those that there are.
		base: Rights(a[5]) & allRights, inherit: Rights(a[6]) & allRights,
	}
	if o.oflags&(oCreat|oDirectory) == oCreat|oDirectory { // as Linux has it since 6.4; before, it made a file
		return o, EINVAL
	}
	o.follow = a.u32(1)&lookupFollow != 0 && o.oflags&(oCreat|oExcl) != oCreat|oExcl // what is there already is not followed
	return o, ESUCCESS
}

// needs are the rights that the directory has to have.
func (o opening) needs() Rights {
	rights := PathOpen
	if o.oflags&oCreat != 0 {
		rights |= PathCreateFile
	}
	return rights
}

// mayTruncate tells whether files in a directory can be opened with TRUNC. The right
// that the specification has for it is not the only one: Go leaves it out when it
// opens a directory, and truncates by os.Root all the same, as any runtime allows
// that it was tested with.
func (d *descriptor) mayTruncate() bool {
	return d.base&PathFilestatSetSize != 0 || d.inherit&(FDWrite|FDFilestatSetSize) == FDWrite|FDFilestatSetSize
}

// writes tells whether the file is to be opened for writing. The right to set its size
// does not say that: Go asks for it whatever it opens.
func (o opening) writes() bool { return o.base&(FDWrite|FDAllocate) != 0 }

// flags are those of open(2).
func (o opening) flags() int {
	flags := hostFlags(o.fdflags)
	switch {
	case !o.writes():
		flags |= unix.O_RDONLY
	case o.base&(FDRead|FDReaddir) != 0:
		flags |= unix.O_RDWR
	default:
		flags |= unix.O_WRONLY
	}
	for _, f := range [...]struct {
		oflag oflags
		host  int
	}{{oCreat, unix.O_CREAT}, {oDirectory, unix.O_DIRECTORY}, {oExcl, unix.O_EXCL}, {oTrunc, unix.O_TRUNC}} {
		if o.oflags&f.oflag != 0 {
			flags |= f.host
		}
	}
	return flags
}

// open opens what a path leads to.
func (s *System) open(d *descriptor, path string, o opening) (*descriptor, Errno) {
	w, e := s.walk(d, path)
	var fd int
	if e == ESUCCESS {
		defer w.end()
		if d.readOnly {
			fd, e = w.openReadOnly(o)
		} else {
			fd, e = w.open(o.flags(), o.follow)
		}
	}
	if e != ESUCCESS {
		if w.own >= 0 || o.follow && (e == ENOENT || e == EROFS) && w.findOwn() {
			return s.openOwn(w.own, o)
		}
		return nil, e
	}
	opened, e := d.opened(fd, &w, o)
	if e != ESUCCESS {
		closeFD(fd)
	}
	return opened, e
}

// open makes the system call, and again after each link at the end.
func (w *walk) open(flags int, follow bool) (int, Errno) {
	if w.kernel {
		return w.kernelOpen(flags, follow)
	}
	for {
		if follow && w.makesOwn(flags) {
			return -1, ENOENT
		}
		w.settle()
		if w.slash {
			if flags&unix.O_CREAT != 0 {
				return -1, EISDIR
			}
			flags |= unix.O_DIRECTORY
		}
		fd, err := w.ways.openat(w.at.fd, w.name, flags|unix.O_NOFOLLOW, fileMode)
		if err == nil {
			return fd, ESUCCESS
		}
		// ENOTDIR is what a link is with O_DIRECTORY.
		if err != unix.ELOOP && err != unix.ENOTDIR || !follow && !w.slash {
			return -1, errnoOf(err)
		}
		switch e := w.next(); e {
		case ESUCCESS:
		case EINVAL: // no link
			if err == unix.ENOTDIR {
				return -1, ENOTDIR
			}
			if w.links++; w.links > maxLinks { // others exchange it all the time
				return -1, ELOOP
			}
		default:
			return -1, e
		}
	}
}

// openReadOnly opens as on a file system that is mounted read-only: what is there
// can be opened to be read, and FIFOs and devices also to be written.
func (w *walk) openReadOnly(o opening) (int, Errno) {
	var st unix.Stat_t
	kind := Unknown
	switch e := w.stat(&st, o.follow); {
	case e == ENOENT && o.oflags&oCreat != 0:
		return -1, EROFS
	case e != ESUCCESS:
		return -1, e
	default:
		kind = filetypeOf(st.Mode)
	}
	switch writes := o.writes() || o.oflags&oTrunc != 0; {
	case o.oflags&(oCreat|oExcl) == oCreat|oExcl:
		return -1, EEXIST
	case kind == Directory && (writes || o.oflags&oCreat != 0):
		return -1, EISDIR
	case kind == RegularFile && writes:
		return -1, EROFS
	}
	fd, e := w.open(o.flags()&^(unix.O_CREAT|unix.O_EXCL|unix.O_TRUNC), o.follow)
	if e != ESUCCESS || !o.writes() {
		return fd, e
	}
	if err := fstat(fd, &st); err != nil || filetypeOf(st.Mode) == RegularFile { // another one by now
		closeFD(fd)
		return -1, EROFS
	}
	return fd, ESUCCESS
}

// processMemory is the name of a process's memory in a procfs, where nothing can be
// given another one.
const processMemory = "mem"

// opened makes a descriptor for the guest of one that was opened through d.
func (d *descriptor) opened(fd int, w *walk, o opening) (*descriptor, Errno) {
	var st unix.Stat_t
	if err := fstat(fd, &st); err != nil {
		return nil, errnoOf(err)
	}
	n := &descriptor{fd: fd, kind: filetypeOf(st.Mode), sync: o.fdflags & syncFlags, readOnly: d.readOnly}
	if n.kind == Directory {
		n.base, n.inherit = o.base&rightsOfDirectory, o.inherit
		n.directory = w.found(fd)
		return n, ESUCCESS
	}
	if (o.writes() || w.name == processMemory) && !w.kernel {
		// A guest that may write /proc/self/mem could replace the code of the process
		// that runs it, and who may read it sees more than its own memory.
		procfs, e := onProcfs(fd)
		if e != ESUCCESS {
			return nil, e
		}
		if procfs {
			return nil, EACCES
		}
	}
	n.inspect(o.flags())
	n.base &= o.base
	n.inherit = o.inherit
	return n, ESUCCESS
}

// openOwn opens one of the guest's own descriptors once more, as the links in
// /dev/fd and /dev/stdout ask for.
func (s *System) openOwn(number int, o opening) (*descriptor, Errno) {
	d, e := s.files.get(uint32(number), 0)
	switch {
	case e != ESUCCESS || d.kind == Directory:
		return nil, ELOOP
	case o.oflags&oDirectory != 0:
		return nil, ENOTDIR
	case d.isSocket():
		return nil, ENXIO
	}
	if o.base&(FDRead|FDWrite)&^d.base != 0 {
		return nil, EACCES
	}
	fd, err := unix.FcntlInt(uintptr(d.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil && s.ways.spare(errnoOf(err)) {
		fd, err = unix.FcntlInt(uintptr(d.fd), unix.F_DUPFD_CLOEXEC, 0)
	}
	if err != nil {
		return nil, errnoOf(err)
	}
	n := *d
	n.fd, n.base, n.inherit, n.polled = fd, d.base&o.base, d.inherit&o.inherit, 0
	return &n, ESUCCESS
}
