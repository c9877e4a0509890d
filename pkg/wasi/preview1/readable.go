package preview1

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// readable is how many bytes can be read from what poll says is ready: 0 at an end,
// 1 where nobody knows.
func (d *descriptor) readable() uint64 {
	switch {
	case d.listens: // FIONREAD is EINVAL; there is a connection
		return 1
	case d.seekable:
		return d.remaining()
	}
	var n int32
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(d.fd), unix.TIOCINQ, uintptr(unsafe.Pointer(&n)))
	if errno != 0 {
		return 1
	}
	return uint64(max(n, 0))
}

// remaining is what a file has behind its position. FIONREAD counts to 2 GiB only.
func (d *descriptor) remaining() uint64 {
	at, err := unix.Seek(d.fd, 0, unix.SEEK_CUR)
	var st unix.Stat_t
	if err != nil || unix.Fstat(d.fd, &st) != nil {
		return 1
	}
	if filetypeOf(st.Mode) != RegularFile { // block devices have no size here
		return 1
	}
	return uint64(max(st.Size-at, 0))
}
