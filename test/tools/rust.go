package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// rustc runs a Rust compiler that has the standard library for WASI preview 1, with
// that as its target.
func rustc(ctx context.Context, args []string) error {
	compiler, target, err := findRust()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, compiler, append([]string{"--target", target}, args...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

// findRust looks for a compiler and a name of the target that it knows. The first of
// $PATH may be rustup's without the library, and the target was called wasm32-wasi
// before Rust 1.78.
func findRust() (compiler, target string, err error) {
	for _, compiler := range []string{"rustc", "/usr/bin/rustc"} {
		for _, target := range []string{"wasm32-wasip1", "wasm32-wasi"} {
			if hasRustLibrary(compiler, target) {
				return compiler, target, nil
			}
		}
	}
	return "", "", errors.New("no rustc has the standard library for WASI: install Debian's rustc and libstd-rust-dev-wasm32, or rustup's target wasm32-wasip1")
}

func hasRustLibrary(compiler, target string) bool {
	dir, err := exec.Command(compiler, "--print", "target-libdir", "--target", target).Output()
	if err != nil {
		return false // no such compiler, or no such target
	}
	found, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "libstd-*.rlib"))
	return err == nil && len(found) > 0
}
