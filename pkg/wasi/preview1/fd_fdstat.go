package preview1

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

var fdFdstatFunctions = []function{
	{"fd_fdstat_get", "ii", fdFdstatGet},
	{"fd_fdstat_set_flags", "ii", fdFdstatSetFlags},
	{"fd_fdstat_set_rights", "iII", fdFdstatSetRights},
}

// syncFlags are those that Linux cannot change once a file is open. They are kept
// here, and what they demand is done after each write.
const syncFlags = Dsync | Rsync | Sync

// fdFdstatGet writes a descriptor's type, flags and rights: (fd, stat). EBADF,
// EFAULT.
func fdFdstatGet(s *System, m memory, a arguments) Errno {
	d, e := s.files.get(a.u32(0), 0)
	if e != ESUCCESS {
		return e
	}
	stat, ok := m.Read(a.u32(1), 24)
	if !ok {
		return EFAULT
	}
	flags, e := d.flags()
	if e != ESUCCESS {
		return e
	}
	d.patient = false
	clear(stat)
	stat[0] = byte(d.kind)
	binary.LittleEndian.PutUint16(stat[2:], uint16(flags))
	binary.LittleEndian.PutUint64(stat[8:], uint64(d.base))
	binary.LittleEndian.PutUint64(stat[16:], uint64(d.inherit))
	return ESUCCESS
}

// keepFlags makes the guest's flags of a descriptor known to nobody else, as Linux keeps
// them for all who share an open file: with Nonblock, others would lose what they write.
// So calls wait with Nonblock, too, and Append is as it was.
func (d *descriptor) keepFlags() {
	flags, _ := d.flags() // it is open
	d.kept = &flags
}

// flags of a descriptor, which others may have changed who share it.
func (d *descriptor) flags() (Fdflags, Errno) {
	if d.kept != nil {
		return *d.kept, ESUCCESS
	}
	host, err := unix.FcntlInt(uintptr(d.fd), unix.F_GETFL, 0)
	if err != nil {
		return 0, errnoOf(err)
	}
	flags := d.sync
	if host&unix.O_APPEND != 0 {
		flags |= Append
	}
	if host&unix.O_NONBLOCK != 0 {
		flags |= Nonblock
	}
	switch {
	case host&unix.O_SYNC == unix.O_SYNC:
		flags |= Sync
	case host&unix.O_DSYNC != 0:
		flags |= Dsync
	}
	return flags, ESUCCESS
}

// fdFdstatSetFlags sets a descriptor's flags: (fd, flags). EBADF, EINVAL for unknown
// flags, ENOTCAPABLE, and those of fcntl(2).
func fdFdstatSetFlags(s *System, _ memory, a arguments) Errno {
	flags := Fdflags(a.u32(1))
	if a.u32(1)&^uint32(allFdflags) != 0 {
		return EINVAL
	}
	d, e := s.files.get(a.u32(0), FDFdstatSetFlags)
	if e != ESUCCESS {
		return e
	}
	if d.kept != nil {
		*d.kept = flags
	} else if e := d.setHostFlags(flags); e != ESUCCESS {
		return e
	}
	d.sync = flags & syncFlags
	d.patient = false
	return ESUCCESS
}

func (d *descriptor) setHostFlags(flags Fdflags) Errno {
	host, err := unix.FcntlInt(uintptr(d.fd), unix.F_GETFL, 0)
	if err != nil {
		return errnoOf(err)
	}
	host = host&^(unix.O_APPEND|unix.O_NONBLOCK) | hostFlags(flags)
	_, err = unix.FcntlInt(uintptr(d.fd), unix.F_SETFL, host)
	return errnoOf(err)
}

// hostFlags are those of open(2) that Linux can change.
func hostFlags(flags Fdflags) int {
	host := 0
	if flags&Append != 0 {
		host |= unix.O_APPEND
	}
	if flags&Nonblock != 0 {
		host |= unix.O_NONBLOCK
	}
	return host
}

// fdFdstatSetRights takes rights away: (fd, fs_rights_base, fs_rights_inheriting).
// EBADF, ENOTCAPABLE for rights that it has not.
func fdFdstatSetRights(s *System, _ memory, a arguments) Errno {
	d, e := s.files.get(a.u32(0), 0)
	if e != ESUCCESS {
		return e
	}
	base, inherit := Rights(a[1]), Rights(a[2])
	if base&^d.base != 0 || inherit&^d.inherit != 0 {
		return ENOTCAPABLE
	}
	d.base, d.inherit = base, inherit
	return ESUCCESS
}
