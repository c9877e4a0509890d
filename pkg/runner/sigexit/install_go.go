//go:build linux && !amd64 && !arm64

package sigexit

import (
	"os"
	"os/signal"
	"syscall"
)

// Install makes the terminating signals end the process. On these architectures
// guests run in the interpreter, which is Go code that the scheduler can
// preempt, so that a handler written in Go is good enough.
func Install() error {
	arrived := make(chan os.Signal, 1)
	for _, s := range terminating() {
		signal.Notify(arrived, s)
	}
	// The goroutine lives as long as the process: it ends it.
	go func() {
		s := <-arrived
		os.Exit(128 + int(s.(syscall.Signal)))
	}()
	return nil
}
