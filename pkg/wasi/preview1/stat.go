package preview1

import (
	"encoding/binary"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

var fdFilestatFunctions = []function{
	{"fd_filestat_get", "ii", fdFilestatGet},
	{"fd_filestat_set_size", "iI", fdFilestatSetSize},
	{"fd_filestat_set_times", "iIIi", fdFilestatSetTimes},
}

// fdFilestatGet writes the attributes of a file: (fd, stat). EBADF, EFAULT,
// ENOTCAPABLE.
func fdFilestatGet(s *System, m memory, a arguments) Errno {
	d, e := s.files.get(a.u32(0), FDFilestatGet)
	if e != ESUCCESS {
		return e
	}
	st := &s.stat
	if err := fstat(d.fd, st); err != nil {
		return errnoOf(err)
	}
	s.clock.coarsen(st)
	return m.filestat(a.u32(1), st, d.kind)
}

// filestatSize is that of attributes.
const filestatSize = 64

// filestat writes attributes as the specification has them. Device and inode are the
// kernel's. What is before 1970 is 1970.
func (m memory) filestat(at uint32, st *unix.Stat_t, kind Filetype) Errno {
	if m.unstable {
		return m.unstableFilestat(at, st, kind)
	}
	to, ok := m.Read(at, filestatSize)
	if !ok {
		return EFAULT
	}
	binary.LittleEndian.PutUint64(to, st.Dev)
	binary.LittleEndian.PutUint64(to[8:], st.Ino)
	binary.LittleEndian.PutUint64(to[16:], uint64(kind))
	binary.LittleEndian.PutUint64(to[24:], uint64(st.Nlink))
	binary.LittleEndian.PutUint64(to[32:], uint64(st.Size))
	putTimes(to[40:], st)
	return ESUCCESS
}

// putTimes writes those of access, modification and change.
func putTimes(to []byte, st *unix.Stat_t) {
	// Timespec.Nano has no room for what is after 2262.
	nano := func(t unix.Timespec) uint64 { return uint64(max(t.Sec, 0))*1e9 + uint64(t.Nsec) }
	binary.LittleEndian.PutUint64(to, nano(st.Atim))
	binary.LittleEndian.PutUint64(to[8:], nano(st.Mtim))
	binary.LittleEndian.PutUint64(to[16:], nano(st.Ctim))
}

// fdFilestatSetSize makes a file shorter, or longer with zeros: (fd, size). EBADF,
// EINVAL if it was not opened to be written or the size does not fit 63 bits, EISDIR,
// ENOTCAPABLE, and those of ftruncate(2).
func fdFilestatSetSize(s *System, _ memory, a arguments) Errno {
	d, e := s.files.get(a.u32(0), FDFilestatSetSize)
	if e != ESUCCESS {
		return e
	}
	return errnoOf(retry(func() error { return unix.Ftruncate(d.fd, a.i64(1)) }))
}

// fdFilestatSetTimes sets the times of a file: (fd, atim, mtim, fst_flags). EBADF,
// EINVAL for flags that are unknown or contradict each other, ENOTCAPABLE, EROFS, and
// those of futimens(3).
func fdFilestatSetTimes(s *System, _ memory, a arguments) Errno {
	times, e := timesOf(a[1], a[2], a.u32(3))
	if e != ESUCCESS {
		return e
	}
	d, e := s.files.get(a.u32(0), FDFilestatSetTimes)
	if e != ESUCCESS {
		return e
	}
	if d.readOnly {
		return EROFS
	}
	_, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(d.fd), 0, uintptr(unsafe.Pointer(&times)), 0, 0, 0)
	if errno != 0 {
		return errnoOf(errno)
	}
	return ESUCCESS
}

// timesOf are times in nanoseconds as utimensat(2) takes them.
func timesOf(atim, mtim uint64, flags uint32) (times [2]unix.Timespec, e Errno) {
	if flags&^uint32(allFstflags) != 0 || flags&setAtim != 0 && flags&setAtimNow != 0 || flags&setMtim != 0 && flags&setMtimNow != 0 {
		return times, EINVAL
	}
	one := func(t uint64, set, now bool) (unix.Timespec, error) {
		switch {
		case set:
			return unix.TimeToTimespec(time.Unix(int64(t/1e9), int64(t%1e9)))
		case now:
			return unix.Timespec{Nsec: unix.UTIME_NOW}, nil
		}
		return unix.Timespec{Nsec: unix.UTIME_OMIT}, nil
	}
	var err error
	if times[0], err = one(atim, flags&setAtim != 0, flags&setAtimNow != 0); err == nil {
		times[1], err = one(mtim, flags&setMtim != 0, flags&setMtimNow != 0)
	}
	return times, errnoOf(err)
}
