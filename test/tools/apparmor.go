package main

import (
	"context"
	"os"
	"path/filepath"
)

// newerKernel is another kernel for QEMU's guests, in the form of machine: Debian 12's
// own has no lsm_set_self_attr(2), which came with 6.8.
func newerKernel(ctx context.Context, j job) error {
	if err := supported(); err != nil {
		return err
	}
	d, err := debs{work: j.work}.backports(ctx)
	if err != nil {
		return err
	}
	return d.kernel(ctx, j.out)
}

// parser runs a program by the loader and with the libraries that came with it.
const parser = `#!/bin/sh
root=$(dirname "$0")/root
exec "$root/lib64/ld-linux-x86-64.so.2" --library-path "$root/lib/x86_64-linux-gnu" "$root/sbin/apparmor_parser" "$@"
`

// apparmor has apparmor_parser, which compiles and loads profiles, for QEMU's guests:
//
//	apparmor_parser   the command
//	root/             its package, with everything down to libc
func apparmor(ctx context.Context, j job) error {
	if err := supported(); err != nil {
		return err
	}
	d := debs{work: j.work}
	if err := d.update(ctx); err != nil {
		return err
	}
	list, err := d.closure(ctx, "apparmor")
	if err != nil {
		return err
	}
	if err := d.unpack(ctx, filepath.Join(j.out, "root"), list...); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(j.out, "apparmor_parser"), []byte(parser), 0o755)
}
