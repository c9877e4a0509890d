//go:build !wasm

package main

import (
	"os"
	"syscall"
)

// trap ends the process as abort does.
func trap() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGABRT)
}
