// Package privilege gives up what a process may do beyond reading and writing
// files as its user.
//
// Capabilities and no_new_privs belong to threads, and a Go program has several
// before its main function runs, so every change goes to all of them. That works
// only without cgo, which is how the shim is built.
package privilege

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// BindService is the capability to have a port of those that are privileged. It may
// be kept until that is done.
const BindService = "CAP_NET_BIND_SERVICE"

// fileCapabilities are the capabilities that may be kept: they decide about access
// to files; none reaches beyond the container.
var fileCapabilities = map[string]uint{
	"CAP_CHOWN":           unix.CAP_CHOWN,
	"CAP_DAC_OVERRIDE":    unix.CAP_DAC_OVERRIDE,
	"CAP_DAC_READ_SEARCH": unix.CAP_DAC_READ_SEARCH,
	"CAP_FOWNER":          unix.CAP_FOWNER,
	"CAP_FSETID":          unix.CAP_FSETID,
}

// Keepable tells whether a capability is one that a guest can keep.
func Keepable(name string) bool {
	_, ok := fileCapabilities[name]
	return ok
}

// Drop reduces the capabilities of all threads to those of keep that the process
// has in effect, and makes it impossible to gain others. It fails for a
// capability that cannot be kept.
func Drop(keep []string) error {
	wanted, err := mask(keep)
	if err != nil {
		return err
	}
	have, err := effective()
	if err != nil {
		return err
	}
	if err := DropBoundingSet(); err != nil {
		return err
	}
	if err := NoNewPrivileges(); err != nil {
		return err
	}
	return setCapabilities(wanted & have)
}

func mask(names []string) (uint64, error) {
	var m uint64
	for _, name := range names {
		bit, ok := fileCapabilities[name]
		if name == BindService {
			bit, ok = unix.CAP_NET_BIND_SERVICE, true
		}
		if !ok {
			return 0, fmt.Errorf("capability %q is not one that a guest can keep", name)
		}
		m |= 1 << bit
	}
	return m, nil
}

// effective returns the effective capabilities of the calling thread. All
// threads have the same ones: nothing has changed them since exec.
func effective() (uint64, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return 0, fmt.Errorf("read the capabilities: %w", err)
	}
	return uint64(data[0].Effective) | uint64(data[1].Effective)<<32, nil
}

// setCapabilities leaves none inheritable, and thereby none ambient: the kernel
// takes away ambient ones that are not inheritable (capabilities(7)).
func setCapabilities(caps uint64) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	low, high := uint32(caps), uint32(caps>>32)
	data := [2]unix.CapUserData{
		{Effective: low, Permitted: low},
		{Effective: high, Permitted: high},
	}
	err := OnAllThreads("reduce the capabilities", unix.SYS_CAPSET,
		uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data[0])), 0)
	runtime.KeepAlive(&header)
	runtime.KeepAlive(&data)
	return err
}

// DropBoundingSet is the part of Drop that takes a capability, CAP_SETPCAP, and
// therefore goes first. Without that capability the bounding set stays, which does
// not matter after no_new_privs.
//
// It asks for each capability first, because changing one stops all threads for a
// moment.
func DropBoundingSet() error {
	have, err := effective()
	if err != nil || have&(1<<unix.CAP_SETPCAP) == 0 {
		return err
	}
	for c := uintptr(0); c <= 63; c++ {
		set, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, c, 0, 0, 0)
		if err != nil {
			break // the kernel's last capability was the one before
		}
		if set == 0 {
			continue
		}
		if err := OnAllThreads("reduce the bounding set", unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, c, 0); err != nil {
			return err
		}
	}
	return nil
}

// NoNewPrivileges makes exec of any file give no privileges (no_new_privs in
// prctl(2)). Drop does so too.
//
// If the calling thread has it, so have all: this is the only function that sets
// it before there is a filter of system calls, which is for all threads too.
func NoNewPrivileges() error {
	if set, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); err == nil && set == 1 {
		return nil // since exec
	}
	return OnAllThreads("set no_new_privs", unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0)
}
