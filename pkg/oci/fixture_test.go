package oci

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Contents of files.
const (
	wasmModule    = "\x00asm\x01\x00\x00\x00"
	wasmComponent = "\x00asm\x0d\x00\x01\x00"
	script        = "#!/bin/sh\n"
)

// entry makes one thing in a directory.
type entry func(t *testing.T, root string)

func file(name, content string, mode os.FileMode) entry {
	return func(t *testing.T, root string) {
		t.Helper()
		name := parent(t, root, name)
		check(t, os.WriteFile(name, []byte(content), 0o600))
		check(t, os.Chmod(name, mode))
	}
}

func module(name string) entry { return file(name, wasmModule, 0o644) }

func dir(name string, mode os.FileMode) entry {
	return func(t *testing.T, root string) {
		t.Helper()
		name := parent(t, root, name)
		check(t, os.MkdirAll(name, 0o755))
		check(t, os.Chmod(name, mode))
	}
}

func link(name, target string) entry {
	return func(t *testing.T, root string) {
		t.Helper()
		check(t, os.Symlink(target, parent(t, root, name)))
	}
}

func fifo(name string) entry {
	return func(t *testing.T, root string) {
		t.Helper()
		check(t, unix.Mkfifo(parent(t, root, name), 0o644))
	}
}

// parent makes the directories above name and returns its path on the host.
func parent(t *testing.T, root, name string) string {
	t.Helper()
	name = filepath.Join(root, name)
	check(t, os.MkdirAll(filepath.Dir(name), 0o755))
	return name
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// directory is a new directory with entries.
func directory(t *testing.T, entries ...entry) string {
	t.Helper()
	root := t.TempDir()
	check(t, os.Chmod(root, 0o755))
	for _, e := range entries {
		e(t, root)
	}
	return root
}

func bundleTree(t *testing.T, rootfs string, mounts ...specs.Mount) *Tree {
	t.Helper()
	tree, err := BundleTree(rootfs, mounts)
	check(t, err)
	t.Cleanup(func() { tree.Close() })
	return tree
}

func bind(source, destination string) specs.Mount {
	return specs.Mount{Destination: destination, Source: source, Type: "bind", Options: []string{"rbind", "ro"}}
}

func tmpfs(destination string) specs.Mount {
	return specs.Mount{Destination: destination, Source: "tmpfs", Type: "tmpfs"}
}

// owner owns the files of a test, stranger does not.
func owner() User    { return User{UID: uint32(os.Getuid()), GID: uint32(os.Getgid())} }
func stranger() User { return User{UID: 123456, GID: 123456} }

// read opens a path and returns where it is and its content.
func read(t *testing.T, tree *Tree, guestPath string) (resolved, content string, err error) {
	t.Helper()
	f, resolved, err := tree.Open(guestPath, owner())
	if err != nil {
		return "", "", err
	}
	defer f.Close()
	var b strings.Builder
	_, err = io.Copy(&b, f)
	check(t, err)
	return resolved, b.String(), nil
}
