package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// machine is QEMU, a kernel for its guests, and a systemd for them:
//
//	qemu/       QEMU with everything down to libc
//	vmlinuz     the kernel
//	modules/    its modules, *.ko below, and the list of those that are built in
//	systemd/    systemd with D-Bus, to be laid over another root
func machine(ctx context.Context, j job) error {
	if err := supported(); err != nil {
		return err
	}
	d := debs{work: j.work}
	if err := d.update(ctx); err != nil {
		return err
	}
	if err := d.kernel(ctx, j.out); err != nil {
		return err
	}
	for dir, names := range map[string][]string{
		"qemu":    {"qemu-system-x86"},
		"systemd": {"systemd", "dbus"},
	} {
		list, err := d.closure(ctx, names...)
		if err != nil {
			return err
		}
		if err := d.unpack(ctx, filepath.Join(j.out, dir), list...); err != nil {
			return err
		}
	}
	return nil
}

// supported tells whether there are virtual machines for this one.
func supported() error {
	if runtime.GOARCH != "amd64" {
		return fmt.Errorf("there is a recipe for amd64 only, not for %s: %w", runtime.GOARCH, errors.ErrUnsupported)
	}
	return nil
}

// kernel puts a kernel and those of its modules into out that a virtual machine
// may need.
func (d debs) kernel(ctx context.Context, out string) error {
	name, err := d.newest(ctx, "linux-image-amd64")
	if err != nil {
		return err
	}
	root := filepath.Join(d.work, "kernel")
	if err := d.unpack(ctx, root, name); err != nil {
		return err
	}
	image, err := filepath.Glob(filepath.Join(root, "boot", "vmlinuz-*"))
	if err != nil || len(image) != 1 {
		return fmt.Errorf("%s has the kernels %q: %v", name, image, err)
	}
	if err := os.Rename(image[0], filepath.Join(out, "vmlinuz")); err != nil {
		return err
	}
	modules, err := filepath.Glob(filepath.Join(root, "usr", "lib", "modules", "*", "kernel"))
	if err != nil || len(modules) != 1 {
		return fmt.Errorf("%s has modules in %q: %v", name, modules, err)
	}
	const builtin = "modules.builtin"
	if err := os.MkdirAll(filepath.Join(out, "modules"), 0o755); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(filepath.Dir(modules[0]), builtin), filepath.Join(out, "modules", builtin)); err != nil {
		return err
	}
	for _, dir := range []string{"arch", "crypto", "drivers/block", "drivers/char", "drivers/net", "drivers/virtio", "fs", "lib", "mm", "net"} {
		to := filepath.Join(out, "modules", dir)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.Rename(filepath.Join(modules[0], dir), to); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	// From 6.7 on they are compressed.
	return runQuietly(ctx, out, os.Environ(), nil, "find", "modules", "-name", "*.ko.xz", "-exec", "xz", "--decompress", "{}", "+")
}
