package shim

import (
	"runtime/debug"
	"time"
)

const (
	// gcPercent keeps the heap of a process small that is there once per pod,
	// as containerd's own shims do.
	gcPercent = 40
	// beginning is how long the garbage collector leaves a new shim alone. It makes
	// its container with less garbage than one collection costs in lists of spans,
	// which the Go runtime never gives back.
	beginning = time.Second
	// quiet is how long nothing happens before memory is given back.
	quiet = time.Second
)

// tidier gives memory back to the kernel when a shim has become quiet: mostly it
// is for the rest of its life.
type tidier struct{ timer *time.Timer }

func newTidier() *tidier {
	debug.SetGCPercent(-1)
	time.AfterFunc(beginning, func() { debug.SetGCPercent(gcPercent) })
	return &tidier{time.AfterFunc(beginning+quiet, debug.FreeOSMemory)}
}

// touch says that something happens.
func (t *tidier) touch() { t.timer.Reset(beginning + quiet) }
