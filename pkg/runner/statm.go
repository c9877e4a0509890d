package runner

import (
	"bytes"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// statm is /proc/self/statm, which a runner opens while it still can: the room
// that it enters has no /proc.
type statm struct{ fd int }

func openStatm() *statm {
	fd, err := unix.Open("/proc/self/statm", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &statm{fd: -1}
	}
	return &statm{fd: fd}
}

// anonymous counts the bytes in resident pages that are not a file's: those of the
// binary can be dropped, and are shared with other containers. It fails in a
// container without /proc.
func (s *statm) anonymous() (int64, bool) {
	const longest = 256
	var text [longest]byte
	n, err := unix.Pread(s.fd, text[:], 0)
	if err != nil {
		return 0, false
	}
	fields := bytes.Fields(text[:n])
	if len(fields) < 3 { // size, resident, shared; see proc(5)
		return 0, false
	}
	resident, errResident := strconv.ParseInt(string(fields[1]), 10, 64)
	shared, errShared := strconv.ParseInt(string(fields[2]), 10, 64)
	if errResident != nil || errShared != nil || resident < shared {
		return 0, false
	}
	return (resident - shared) * int64(os.Getpagesize()), true
}

func (s *statm) close() {
	if s.fd >= 0 {
		unix.Close(s.fd)
		s.fd = -1
	}
}
