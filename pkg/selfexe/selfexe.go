// Package selfexe hands out the program that is running in a form that may be
// executed inside a container: no holder of the file descriptor, not even root
// without any confinement, can write to the host's binary through it or through
// /proc/<pid>/exe of a process that runs it (CVE-2019-5736).
package selfexe

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/memfd"
)

// self is the path of the binary. /proc/self/exe is the file that is running even if
// another one has been installed over it since.
const self = "/proc/self/exe"

// Open returns a new handle of the running binary, open for reading.
func Open() (*os.File, error) { return open(self) }

// OpenBeside is Open for another program in the directory of the running one.
// errors.Is(err, fs.ErrNotExist) holds if it is not there.
func OpenBeside(name string) (*os.File, error) {
	running, err := os.Executable()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(filepath.Dir(running), name)
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	return open(path)
}

// open returns a handle of a program.
//
// The first choice is a private read-only mount of the file: all processes then
// share its pages. The mount belongs to no mount namespace once Open returns,
// so nobody can remount it writable. Kernels without mount_setattr(2) (before
// 5.12), and mounts that must not be executed from, get a sealed memfd with a
// copy.
func open(path string) (*os.File, error) {
	f, err := openReadOnlyMount(path)
	if err == nil {
		return f, nil
	}
	copied, copyErr := openCopy(path)
	if copyErr != nil {
		return nil, fmt.Errorf("protect the shim's binary %s: %w", path, errors.Join(err, copyErr))
	}
	return copied, nil
}

func openReadOnlyMount(path string) (*os.File, error) {
	tree, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("open_tree", err)
	}
	// Closing the only handle detaches the mount; the file below keeps it alive.
	defer unix.Close(tree)
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return nil, os.NewSyscallError("mount_setattr", err)
	}
	fd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", tree), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("open", err)
	}
	f := os.NewFile(uintptr(fd), path)
	if err := checkReadOnly(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// checkReadOnly proves what Open promises instead of believing it.
func checkReadOnly(f *os.File) error {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return os.NewSyscallError("fstatfs", err)
	}
	if st.Flags&unix.ST_RDONLY == 0 {
		return errors.New("the private mount of the binary is writable")
	}
	if st.Flags&unix.ST_NOEXEC != 0 {
		return errors.New("the binary is on a noexec mount")
	}
	return nil
}

func openCopy(path string) (*os.File, error) {
	src, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	f, err := memfd.NewExecutable(filepath.Base(path))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if _, err := io.Copy(f, src); err != nil {
		return nil, fmt.Errorf("copy the binary: %w", err)
	}
	return memfd.Finish(f, 0o555)
}
