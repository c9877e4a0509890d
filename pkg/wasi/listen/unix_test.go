package listen

import (
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// leave leaves a unix socket that nobody listens at.
func leave(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	must(t, err)
	l.SetUnlinkOnClose(false)
	must(t, l.Close())
}

// What a process leaves behind that was killed does not keep the next from starting.
func TestAbandonedUnixSocketsAreReplaced(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	leave(t, path)
	open(t, Socket{"", "unix", path, Patient})
	conn, err := net.Dial("unix", path)
	must(t, err)
	conn.Close()
}

// TestOneOfManyGetsAUnixSocket, and can be reached: nobody takes its file away while it
// binds and does not listen yet.
func TestOneOfManyGetsAUnixSocket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	for range 200 {
		leave(t, path)
		fds := make(chan int, 8)
		var all sync.WaitGroup
		for range cap(fds) {
			all.Go(func() {
				if fd, err := (Socket{"", "unix", path, Patient}).Open(); err == nil {
					fds <- fd
				}
			})
		}
		all.Wait()
		close(fds)
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Error(err)
		} else {
			conn.Close()
		}
		n := 0
		for fd := range fds {
			n++
			must(t, unix.Close(fd))
		}
		must(t, os.Remove(path))
		if n != 1 || err != nil {
			t.Fatalf("%d have it", n)
		}
	}
}

// TestWhoKeepsTheDirectoryLockedIsNotWaitedForLong: a directory may be shared with others
// who are not to be trusted.
func TestWhoKeepsTheDirectoryLockedIsNotWaitedForLong(t *testing.T) {
	t.Parallel()
	dir, err := os.Open(t.TempDir())
	must(t, err)
	defer dir.Close()
	must(t, unix.Flock(int(dir.Fd()), unix.LOCK_EX))
	begin := time.Now()
	open(t, Socket{"", "unix", filepath.Join(dir.Name(), "s"), Patient})
	if took := time.Since(begin); took < lockPatience || took > 10*lockPatience {
		t.Errorf("it took %v", took)
	}
}
