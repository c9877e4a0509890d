// Package rootfs mounts what containerd hands over as a container's root file system.
//
// containerd's own package for this (core/mount) links its API, which is initialised
// in every process of the shim's binary. This one takes the same types and options
// (containerd 2.4), except those that containerd deals with before it calls a shim.
package rootfs

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/memfd"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/wire"
)

// RunFunc runs a program to its end; the error tells of a failure of the program, too.
type RunFunc func(*exec.Cmd) error

// Mount mounts each on target, an absolute path, or on a directory inside what was
// mounted there before. It runs helpers by run. After an error some may be mounted.
func Mount(mounts []*wire.Mount, target string, run RunFunc) error {
	for _, m := range mounts {
		at, err := inside(target, m.Target)
		if err != nil {
			return fmt.Errorf("failed to join path %q with root %q: %w", m.Target, target, err)
		}
		if err := mount(m, at, run); err != nil {
			return err
		}
	}
	return nil
}

// inside resolves a path below root, whose links are those of an image.
func inside(root, path string) (string, error) {
	if path == "" {
		return root, nil
	}
	dir, err := os.OpenFile(root, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return "", err
	}
	defer dir.Close()
	fd, err := unix.Openat2(int(dir.Fd()), path, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return "", os.NewSyscallError("openat2", err)
	}
	defer unix.Close(fd)
	return os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
}

func mount(m *wire.Mount, target string, run RunFunc) error {
	for _, helper := range []string{"mount.fuse", "mount.fuse3"} {
		if name, ok := strings.CutPrefix(m.Type, strings.TrimPrefix(helper, "mount.")+"."); ok {
			return mountByHelper(helper, name, m, target, run)
		}
	}
	o, err := parse(m.Options)
	if err != nil {
		return err
	}
	users, err := o.users()
	if err != nil {
		return err
	}
	defer users.Close() // of nil, too
	if m.Type == "overlay" {
		return mountOverlay(m.Source, target, o, users)
	}
	source := m.Source
	if o.loop {
		device, err := attach(source, o)
		if err != nil {
			return err
		}
		defer device.Close() // then the mount holds it alone
		source = device.Name()
	}
	if err := o.mount("", source, target, m.Type); err != nil {
		return err
	}
	if err := o.protect(target); err != nil {
		return err
	}
	if users != nil {
		return mapUsers(target, target, users, 0)
	}
	return nil
}

// maxSaid is how much of what a helper says gets into an error, in bytes.
const maxSaid = 16 << 10

// mountByHelper mounts a file system in user space.
func mountByHelper(helper, name string, m *wire.Mount, target string, run RunFunc) error {
	args := []string{m.Source, target}
	for _, o := range m.Options {
		args = append(args, "-o", o)
	}
	args = append(args, "-t", name)
	// Not a pipe: the program that serves the file system may keep its end, so that there
	// would be no end of output, and would die of SIGPIPE if ours was closed.
	out, err := memfd.New("output")
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command(helper, args...)
	cmd.Stdout, cmd.Stderr = out, out
	err = run(cmd)
	_ = memfd.Seal(out) // otherwise it could grow for as long as the file system is there
	if err != nil {
		said, _ := io.ReadAll(io.NewSectionReader(out, 0, maxSaid))
		return fmt.Errorf("mount helper [%s %v] failed: %q: %w", helper, args, said, err)
	}
	return nil
}
