package room

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mountRequest is struct mnt_id_req of linux/mount.h, in its first version.
type mountRequest struct {
	size, _   uint32
	id, param uint64
}

const (
	mountRequestSize = 24
	// allMounts are those below the process's root (LSMT_ROOT).
	allMounts = 1<<64 - 1
	// What is asked for of a mount (STATMOUNT_…), and where it is in the answer, struct
	// statmount.
	statSuperblock    = 1 << 0
	statMount         = 1 << 1
	maskOffset        = 8
	magicOffset       = 24
	propagationOffset = 72
	statmountSize     = 512
	// mostMounts are looked at.
	mostMounts = 256
)

// HasMagicLinks tells whether symbolic links may be reached below the process's root
// that are no paths but lead anywhere: those of a procfs, and of the kernel's security
// modules. It is true, too, if there is no way to know, as before Linux 6.8, and if
// the host can mount something there later on.
func HasMagicLinks() bool {
	ids := make([]uint64, mostMounts)
	request := mountRequest{size: mountRequestSize, id: allMounts}
	n, _, errno := unix.Syscall6(unix.SYS_LISTMOUNT, uintptr(unsafe.Pointer(&request)), uintptr(unsafe.Pointer(&ids[0])), mostMounts, 0, 0, 0)
	if errno != 0 || n == 0 || n == mostMounts {
		return true
	}
	for _, id := range ids[:n] {
		if !isPlain(id) {
			return true
		}
	}
	return false
}

// isPlain tells whether a mount has no magic links, and gets none from elsewhere.
func isPlain(id uint64) bool {
	const mask = statSuperblock | statMount
	var answer [statmountSize]byte
	request := mountRequest{size: mountRequestSize, id: id, param: mask}
	_, _, errno := unix.Syscall6(unix.SYS_STATMOUNT, uintptr(unsafe.Pointer(&request)), uintptr(unsafe.Pointer(&answer)), statmountSize, 0, 0, 0)
	if errno != 0 || binary.NativeEndian.Uint64(answer[maskOffset:])&mask != mask {
		return false
	}
	magic := binary.NativeEndian.Uint64(answer[magicOffset:])
	propagation := binary.NativeEndian.Uint64(answer[propagationOffset:])
	return magic != unix.PROC_SUPER_MAGIC && magic != unix.SECURITYFS_MAGIC && propagation&(unix.MS_SHARED|unix.MS_SLAVE) == 0
}
