// Package ownthread is for what changes a thread so that nothing else may run on it.
package ownthread

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Go calls f on a thread that ends with it, and is not the first one of the process. That
// one ends with the process only, and stands for all of it: with it in a cgroup of v1, the
// process is a member.
func Go(f func()) {
	go func() {
		runtime.LockOSThread() // for ever
		if unix.Gettid() != os.Getpid() {
			f()
			return
		}
		elsewhere := make(chan struct{})
		go func() {
			runtime.LockOSThread()
			close(elsewhere)
			f()
		}()
		<-elsewhere // this thread is busy so long
		runtime.UnlockOSThread()
	}()
}
