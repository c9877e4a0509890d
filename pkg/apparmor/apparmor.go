// Package apparmor puts a process that has threads under a profile of AppArmor.
//
// A profile belongs to a thread. The files of /proc by which it is changed elsewhere (as by
// runc, for a program that it executes next) are for the thread that writes them, and a Go
// program cannot choose its threads. lsm_set_self_attr(2), since Linux 6.8, needs no file, so
// that the runtime can have every thread call it.
package apparmor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Unconfined is the name for no profile.
const Unconfined = "unconfined"

// From linux/lsm.h.
const (
	lsmID       = 104 // LSM_ID_APPARMOR
	attrCurrent = 100 // LSM_ATTR_CURRENT
	// header is the size of a struct lsm_ctx without what follows it: four numbers of 64
	// bits, the security module, flags, the size of all and that of what follows.
	header = 32
	// maxRequest is the longest that the kernel reads, on the smallest of pages.
	maxRequest = 4096
)

// Lacks says why processes of this host cannot be put under a profile by Confine, or be left
// unconfined, for the name of one. It is empty if they can, and for the empty name, by which
// nobody asks for anything. Whether there is the profile is another question.
func Lacks(profile string) string {
	if profile == "" {
		return ""
	}
	h := host()
	switch {
	case profile == Unconfined && !h.on:
		return "" // so is everything
	case h.old && profile != Unconfined:
		return "the kernel is older than Linux 6.8"
	case !h.on:
		return "AppArmor is off"
	case h.label != Unconfined:
		return fmt.Sprintf("the shim is confined itself, by %q", h.label)
	}
	return ""
}

// Check tells whether Confine would succeed now, in this process. Errors are
// fs.ErrNotExist for a profile that is not loaded.
func Check(profile string) error { return apply(profile, try) }

// Confine puts all threads of this process, which is unconfined, under a profile; none can
// leave it. Call it when there are no more signals to send between threads, as the Go runtime
// does for system calls on all of them: a profile need not allow them.
func Confine(profile string) error { return apply(profile, setAll) }

func apply(profile string, set func(request []byte) error) error {
	if profile == "" || profile == Unconfined {
		return nil
	}
	request, err := change(profile)
	if err != nil {
		return err
	}
	switch err := set(request); {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENOENT):
		return fmt.Errorf("the AppArmor profile %q is not loaded on this node: %w", profile, err)
	default:
		return fmt.Errorf("the AppArmor profile %q: %w", profile, err)
	}
}

// change is a struct lsm_ctx with the words that /proc/<pid>/attr/current takes, too.
func change(profile string) ([]byte, error) {
	words := "changeprofile " + profile
	size := header + len(words)
	if size > maxRequest || strings.ContainsRune(profile, 0) {
		return nil, fmt.Errorf("the name of the AppArmor profile has %d bytes, or a zero among them: %w", len(profile), unix.EINVAL)
	}
	b := make([]byte, 0, size)
	for _, n := range []int{lsmID, 0, size, len(words)} {
		b = binary.NativeEndian.AppendUint64(b, uint64(n))
	}
	return append(b, words...), nil
}

// state of the host, as it is for processes that the shim makes.
type state struct {
	old   bool   // there is no lsm_set_self_attr(2)
	on    bool   // AppArmor is
	label string // of this process; with its mode, if it has one
}

var host = sync.OnceValue(func() state {
	modules, err := securityModules()
	if errors.Is(err, unix.ENOSYS) {
		_, err := os.Stat("/sys/kernel/security/apparmor")
		return state{old: true, on: err == nil, label: label()}
	}
	return state{on: err == nil && slices.Contains(modules, lsmID), label: label()}
})

// label is that of the process's first thread. It is the same for all: nothing here changes
// it but Confine.
func label() string {
	for _, path := range []string{"/proc/self/attr/apparmor/current", "/proc/self/attr/current"} {
		if data, err := os.ReadFile(path); err == nil {
			return strings.TrimRight(string(data), "\n\x00")
		}
	}
	return "unknown"
}

// securityModules lists those that are active, by their numbers.
func securityModules() ([]uint64, error) {
	ids := make([]uint64, 32) // there are 14 in Linux 6.18
	size := uint32(len(ids) * 8)
	n, _, errno := unix.Syscall(unix.SYS_LSM_LIST_MODULES, uintptr(unsafe.Pointer(&ids[0])), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return nil, os.NewSyscallError("lsm_list_modules", errno)
	}
	return ids[:n], nil
}
