package shim

import (
	"context"
	"os"
	"os/signal"
	"runtime"

	"github.com/containerd/log"
	"golang.org/x/sys/unix"
)

// handleSignals keeps signals from ending containers: SIGTERM and SIGINT call
// stop, which does nothing while there is a container, SIGUSR1 writes all
// stacks to the log, SIGPIPE and SIGHUP do nothing.
func handleSignals(ctx context.Context, logger *log.Entry, stop func()) {
	// Not signal.Ignore: programs that the shim starts would ignore them, too.
	signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE, unix.SIGHUP) // nobody reads it
	sigs := make(chan os.Signal, 8)
	signal.Notify(sigs, unix.SIGTERM, unix.SIGINT, unix.SIGUSR1)
	go func() {
		defer signal.Stop(sigs)
		for {
			select {
			case sig := <-sigs:
				if sig == unix.SIGUSR1 {
					logger.Infof("stacks of %d goroutines:\n%s", runtime.NumGoroutine(), stacks())
				} else {
					stop()
				}
			case <-ctx.Done():
				return
			}
		}
	}()
}

// stacks of all goroutines; a FIFO takes no more than 64 KiB at once.
func stacks() []byte {
	buf := make([]byte, 60<<10)
	return buf[:runtime.Stack(buf, true)]
}
